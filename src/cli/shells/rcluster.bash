# Completions of rcluster for bash (4.4 or newer); written by `rcluster completions bash`.
#
# All that may be completed is asked of rcluster itself, at TAB time: one word a line, with what it
# is behind a tab. What it says is only ever taken as text.

_rcluster() {
    local line=${COMP_LINE:0:COMP_POINT} rest word piece space last='' kept='' task='' value i
    local -a words=() found=()
    COMPREPLY=()

    # bash cuts words at `=` and `:` as well. Pieces that touch each other are one word; what is
    # completed is only the last piece, so what stands before it (`kept`) is taken away again.
    rest=$line
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word=${COMP_WORDS[i]}
        space=${rest%%[![:space:]]*}
        [[ -z $rest && $i -gt 0 ]] && break
        rest=${rest#"$space"}
        if [[ $rest == "$word"* ]]; then
            piece=$word
        else
            piece=$rest
        fi
        rest=${rest#"$piece"}
        if ((i > 0)) && [[ -z $space ]]; then
            kept=${words[-1]}
            words[-1]+=$piece
            if [[ -n $piece && -z ${piece//[=:]/} ]]; then kept=${words[-1]}; fi
        else
            words+=("$piece")
            kept=''
        fi
        # Behind a redirection stands a file, whatever the command is.
        if [[ -z $rest && $i -gt 0 && $last == *[\<\>] ]]; then
            compopt -o default 2>/dev/null
            return 0
        fi
        last=$piece
    done
    value=${words[-1]#"$kept"}

    mapfile -t found < <(command rcluster __complete bash "${words[@]}" 2>/dev/null </dev/null)
    for line in "${found[@]}"; do
        word=${line%%$'\t'*}
        case $word in
            :files*) task=files ;;
            :directories*) task=directories ;;
            :commands*) task=commands ;;
            *)
                COMPREPLY+=("${word#"$kept"}")
                if [[ $word == *= ]]; then compopt -o nospace 2>/dev/null; fi
                ;;
        esac
    done
    case $task in
        files)
            # readline knows best how file names are completed and quoted.
            if ((${#COMPREPLY[@]} == 0)); then
                compopt -o default 2>/dev/null
            else
                compopt -o filenames 2>/dev/null
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$value")
            fi
            ;;
        directories) compopt -o dirnames 2>/dev/null ;;
        commands) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -c -- "$value") ;;
    esac
    return 0
}

complete -F _rcluster rcluster
