#compdef rcluster
# Completions of rcluster for zsh; written by `rcluster completions zsh`.
#
# All that may be completed is asked of rcluster itself, at TAB time: one word a line, with what it
# is behind a tab. What it says is only ever taken as text.

_rcluster() {
    local line word about kind='' asked="$IPREFIX$PREFIX"
    local -a found whole open
    local -i lead=0 ret=1

    found=("${(@f)$(command rcluster __complete zsh "${(@Q)words[1,CURRENT-1]}" "${(Q)asked}" 2>/dev/null </dev/null)}")
    for line in "${found[@]}"; do
        word=${line%%$'\t'*}
        about=''
        [[ $line == *$'\t'* ]] && about=${line#*$'\t'}
        case $word in
            '') ;;
            (:files|:directories|:commands)\ *) kind=${word%% *} lead=${word##* } ;;
            *)
                word=${word//:/\\:}
                [[ -n $about ]] && word+=":$about"
                if [[ $word == *=(|:*) && ${line%%$'\t'*} == *= ]]; then
                    open+=("$word")
                else
                    whole+=("$word")
                fi
                ;;
        esac
    done
    (($#whole)) && _describe -t values 'rcluster' whole && ret=0
    (($#open)) && _describe -t values 'rcluster' open -S '' && ret=0
    ((lead > 0)) && compset -p $lead
    case $kind in
        :files) _files && ret=0 ;;
        :directories) _files -/ && ret=0 ;;
        :commands) _command_names -e && ret=0 ;;
    esac
    return ret
}

# Found through fpath it is called at once; sourced it only says what it is for.
if [[ ${funcstack[1]-} == _rcluster ]]; then
    _rcluster "$@"
elif (($+functions[compdef])); then
    compdef _rcluster rcluster
fi
