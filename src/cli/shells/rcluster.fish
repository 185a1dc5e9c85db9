# Completions of rcluster for fish; written by `rcluster completions fish`.
#
# All that may be completed is asked of rcluster itself, at TAB time: one word a line, with what it
# is behind a tab. What it says is only ever taken as text.

function __rcluster_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (command rcluster __complete fish $words "$current" 2>/dev/null </dev/null)
        if not string match -q ':*' -- $line
            printf '%s\n' $line
            continue
        end
        # How many letters stand before the file's name in its word: `--conf=`.
        set -l parts (string split ' ' -- $line)
        set -l lead (string sub -l $parts[2] -- "$current")
        set -l value (string sub -s (math $parts[2] + 1) -- "$current")
        switch $parts[1]
            case ':files'
                for path in (__fish_complete_path "$value")
                    printf '%s%s\n' "$lead" $path
                end
            case ':directories'
                for path in (__fish_complete_directories "$value" '')
                    printf '%s%s\n' "$lead" $path
                end
            case ':commands'
                complete -C "$value"
        end
    end
end

complete -c rcluster -f -k -a '(__rcluster_complete)'
