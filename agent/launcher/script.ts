/** What the lines after the claim take at most, in bytes. */
const ROOM_BYTES = 512;

/**
 * The launcher: one POSIX shell for the life of the agent, fed a line a job. Creating a process from it does not
 * depend on how much memory the agent has touched, and what it forks outlives both.
 *
 * A line is `run`, attempt directory, key, uid, gid, groups, streams, then the files to enter, with tabs between
 * (`-` stands for "none": the shell folds empty fields). It holds nothing that a user wrote. An empty line reaps.
 *
 * A supervisor is a fork of the launcher, without an exec. In order, and what a kill -9 after each step leaves:
 *
 * 1. It creates `record` exclusively, with its claim. Before: nobody has the attempt, and a restarting agent takes it.
 *    After: the agent finds the claim, and finds out from pid and start time in it whether the supervisor lives.
 * 2. It looks for `revoked`, which an agent leaves that found a claim with nothing in it yet: one of the two always
 *    sees the other.
 * 3. It forks the job's process, which enters the leaf, and only then looks whether its parent is still the
 *    supervisor: an agent that saw the supervisor dead has either found this process in the leaf, or it ends here.
 * 4. The job's process says its pid in `record` and becomes the user; the rest is the job script, read from its
 *    standard input, because the user may not open the attempt's directory.
 * 5. The supervisor waits and adds a line to `record`, by one write that ends in `end`. A reader takes a line without
 *    that end for absent: what a rename would give, without the process that it costs (0.5 ms of 5). The claim is
 *    followed by blank lines, over which the later lines are written: on a full disk there is still room to say how the
 *    job ended.
 *
 * The shell says 128+n for a signal and for an exit with such a code; its job table knows which of the two it was.
 * SIGINT and SIGQUIT are ignored in anything that a shell puts into the background: the job script resets them.
 * Descriptors that the agent had inherited are closed first, as far as a shell can name them (3 to 9).
 */
export const LAUNCHER_SCRIPT = `exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
set -f
umask 077
fifo=$1 boot=$2 adjust=$3 setsid=$4 setpriv=$5 shell=$6
tab=$(printf '\\t')
room='${'\n'.repeat(ROOM_BYTES)}'
IFS=$tab

supervise() {
  set -C
  IFS=' ' read -r pid a b c d e f g h i j k l m n o p q r s t born z </proc/self/stat
  claim="supervisor $pid $born $boot end"
  echo "$claim$room" >"$dir/record" || exit 0
  set +C
  [ -e "$dir/revoked" ] && exit 0
  exec 3<>"$dir/record"
  echo "$claim" >&3
  out=$dir/output err=$dir/output
  [ "$streams" = separate ] && out=$dir/stdout err=$dir/stderr
  enter_and_run </dev/null >>"$out" 2>>"$err" 4<>"$fifo" &
  wait $! 2>/dev/null
  code=$?
  how=exited
  if [ $code -gt 128 ]; then
    jobs >"$dir/how"
    read -r how <"$dir/how"
    case $how in *Done*) how=exited ;; ?*) how=signalled ;; *) how=unknown ;; esac
  fi
  IFS=' ' read -r uptime z </proc/uptime
  echo "exit $code $how $uptime $boot end" >&3
  echo "e $key" 1<>"$fifo"
}

enter_and_run() {
  for file in $enter; do
    [ "$file" = - ] && continue
    echo 0 >"$file" || { echo "failed enter" >&3; exit 125; }
  done
  IFS=' ' read -r self a b parent c d e f g h i j k l m n o p q r s born z </proc/self/stat
  [ "$parent" = "$pid" ] || exit 125
  echo "$adjust" >/proc/self/oom_score_adj
  echo "pid $self $born" >&3
  if [ "$uid" = - ]; then
    exec "$setsid" "$setpriv" --no-new-privs "$shell" <"$dir/launch"
  fi
  exec "$setsid" "$setpriv" --no-new-privs --reuid "$uid" --regid "$gid" --groups "$groups" "$shell" <"$dir/launch"
}

while IFS=$tab read -r verb dir key uid gid groups streams enter; do
  case $verb in
    run) supervise & ;;
    *) jobs >/dev/null ;;
  esac
done
`;
