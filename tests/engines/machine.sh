#!/bin/bash
# machine.sh USER FOLDER... -- COMMAND...
#
# Runs a command as a process of another machine would run: as another user, in a working
# folder of its own, and without the files of this machine's users. Of their folders
# (TMPDIR's and the home folders) it sees only the given FOLDERs: software, which it
# cannot write (FOLDER:ro), and what machines share. Needs root, and a mount namespace
# that this script may change (`unshare --mount`, or `ip netns exec`).
set -eu
user=$1; shift
folders=()
while [ "$1" != -- ]; do folders+=("$1"); shift; done
shift
mount --make-rprivate /
held=$(mktemp -d /run/two-tower-machine-XXXXXX)
mount -t tmpfs tmpfs "$held"
for index in "${!folders[@]}"; do
  mkdir "$held/$index"
  mount --rbind "${folders[$index]%:ro}" "$held/$index"
done
for hidden in /tmp /var/tmp /root /home; do
  mount -t tmpfs -o mode=1777 tmpfs "$hidden"
done
for index in "${!folders[@]}"; do
  folder=${folders[$index]%:ro}
  mkdir -p "$folder"
  mount --rbind "$held/$index" "$folder"
  if [ "$folder" != "${folders[$index]}" ]; then
    mount -o remount,bind,ro "$folder"
  fi
done
umount -l "$held"
rmdir "$held"
work=$(mktemp -d /tmp/work-XXXXXX)
export HOME=$work TMPDIR=/tmp
chown "$user:$user" "$work"
cd "$work"
umask 002
exec setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"
