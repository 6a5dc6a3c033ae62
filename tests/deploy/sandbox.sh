#!/bin/sh
# Runs a command as the container file's user on a root that is read-only but for /tmp and /var/lib/llmrouter, as a
# container engine would, with capabilities dropped: sandbox.sh ROOT OPT STATE CONFIG PYTHON UID COMMAND...
# ROOT is an empty folder; OPT becomes /opt/llmrouter, STATE /var/lib/llmrouter, CONFIG /etc/llmrouter, and PYTHON, the
# interpreter's prefix, stays where it is. Needs root, in a mount namespace of its own (unshare --mount).
set -eu
root=$1 opt=$2 state=$3 config=$4 python=$5 user=$6
shift 6

show() { # a folder or file of the machine, read-only
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$root$(dirname "$2")" && touch "$root$2"; fi
  mount --bind "$1" "$root$2"
  mount -o remount,bind,ro "$root$2"
}

mount -t tmpfs -o mode=0755 tmpfs "$root"
for folder in /bin /lib /lib64; do
  if [ -L "$folder" ]; then cp -P "$folder" "$root$folder"; elif [ -d "$folder" ]; then show "$folder" "$folder"; fi
done
show /usr /usr
case $python in /usr | /usr/) ;; *) show "$python" "$python" ;; esac
for file in /etc/ld.so.cache /etc/ssl /etc/hosts /etc/nsswitch.conf; do
  if [ -e "$file" ]; then show "$file" "$file"; fi
done
show "$opt" /opt/llmrouter
show "$config" /etc/llmrouter
mkdir -p "$root/dev" "$root/proc" "$root/tmp" "$root/var/lib/llmrouter"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/tmp"
mount --bind "$state" "$root/var/lib/llmrouter"
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set -all -- "$@"
