"""What only other languages' tools can read: action.yml, the YAML of the guide, and its JSON Schema."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
SOURCES = {path.name: path.read_text() for path in (ROOT / "scripts/action").glob("*.js")}


def blocks(page, language):
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def test_the_action_has_the_form_that_github_asks_for():
    assert set(ACTION) == {"name", "description", "branding", "inputs", "outputs", "runs"}
    runs = ACTION["runs"]
    assert set(runs) == {"using", "main", "post", "post-if"}
    assert (runs["using"], runs["post-if"]) == ("node24", "always()")
    for step in ("main", "post"):
        assert (ROOT / runs[step]).is_file()
    for name, told in ACTION["inputs"].items():
        assert set(told) <= {"description", "default", "required"} and told["description"], name
        assert isinstance(told.get("default", ""), str), f"{name}: the runner wants a string"
    for name, told in ACTION["outputs"].items():
        assert set(told) == {"description"} and told["description"], name


def test_inputs_and_outputs_are_those_that_the_code_knows():
    code = "".join(SOURCES.values())
    known = set(re.findall(r'(?:input|choice)\("([a-z-]+)"', code))
    known |= set(re.findall(r'"([a-z-]+)"', re.search(r"for \(const name of \[(.*?)\]", code)[1]))
    assert known == set(ACTION["inputs"])
    put = set(re.findall(r'put\("GITHUB_OUTPUT", "([a-z]+)"', code)) | {"name", "home"}
    assert put == set(ACTION["outputs"])


def test_the_action_needs_no_package():
    for name, code in SOURCES.items():
        for wanted in re.findall(r'require\("([^"]+)"\)', code):
            assert wanted.startswith(("node:", "./")), f"{name} requires {wanted}"


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_yaml_of_the_guide_is_yaml(page):
    for text in blocks(f"docs/{page}", "yaml"):
        assert isinstance(yaml.safe_load(text), dict), text


def test_recipes_have_the_form_that_their_services_ask_for():
    found = {"github": 0, "gitlab": 0, "circle": 0}
    for text in blocks("docs/ci.md", "yaml"):
        recipe = yaml.safe_load(text)
        if recipe.get("version") == 2.1:
            found["circle"] += 1
            for job in recipe["jobs"].values():
                assert {"docker", "steps"} <= set(job)
                for step in job["steps"]:
                    run = step.get("run", {}) if isinstance(step, dict) else {}
                    assert isinstance(run, (str, dict)), step
                    if isinstance(run, dict) and "when" in run:
                        assert run["when"] in {"always", "on_success", "on_fail"}
        elif "jobs" in recipe:
            # YAML 1.1 reads the key `on` as true.
            found["github"] += 1
            for job in recipe["jobs"].values():
                assert "runs-on" in job and job["steps"]
                for step in job["steps"]:
                    assert ("run" in step) != ("uses" in step), step
                    if step.get("uses", "").startswith("./"):
                        assert set(step.get("with", {})) <= set(ACTION["inputs"]), step
        else:
            found["gitlab"] += 1
            for job in recipe.values():
                assert all(isinstance(line, str) for line in job["script"] + job.get("after_script", []))
    assert all(found.values()), found


def test_the_schema_is_one_and_fits_a_real_answer():
    schema = json.loads((ROOT / "docs/schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    said = subprocess.run([os.environ["RCLUSTER"], "version", "--json"], capture_output=True, check=True)
    assert validator.is_valid(json.loads(said.stdout))
    assert not validator.is_valid({"schema_version": 1})
