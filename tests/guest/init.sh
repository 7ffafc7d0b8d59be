#!/bin/busybox sh
# PID 1 of the test guest: a root with the host's files to read and a tmpfs to write, pure cgroup v2,
# then the command; its exit code goes to the console behind a marker.
b=/bin/busybox
$b mkdir -p /proc /sys /dev /ro /rw /new
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r module; do $b insmod "/modules/$module" || echo "guest: insmod $module failed"; done < /modules/list
$b mount -t tmpfs -o size=80% rw /rw
$b mkdir /rw/upper /rw/work
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root /ro || exec $b poweroff -f
$b mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work overlay /new
cd /new || exec $b poweroff -f
for i in proc sys dev; do $b mount --move /$i $i; done
$b mount -t tmpfs -o mode=1777 tmp tmp
$b mount -t tmpfs -o mode=755 run run
$b mkdir -p dev/pts dev/shm dev/mqueue
$b mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
$b mount -t tmpfs -o mode=1777 shm dev/shm
$b mount -t mqueue mqueue dev/mqueue
$b ln -sf /proc/self/fd dev/fd
$b ifconfig lo 127.0.0.1 up
$b cp /command /new/run/guest-command
if [ -e /systemd ]; then
  # The host's files, but none of the units that it starts: those of the test are all there is.
  $b mkdir -p run/systemd/system run/systemd/system.conf.d
  $b cp /systemd/trivet-guest.* run/systemd/system/
  $b cp /systemd/quiet.conf run/systemd/system.conf.d/
  $b cp /systemd/finish run/guest-finish
  $b rm -rf etc/systemd/system usr/lib/systemd/system/sysinit.target.wants \
    usr/lib/systemd/system/dbus.service.wants usr/lib/systemd/system-generators \
    usr/lib/systemd/user-generators usr/lib/systemd/system-environment-generators \
    usr/lib/systemd/user-environment-generators etc/fstab \
    .dockerenv  # the host may be a container, the guest is none
  exec $b switch_root /new /lib/systemd/systemd --unit=trivet-guest.target
fi
$b mount -t cgroup2 cgroup2 sys/fs/cgroup
exec $b switch_root /new /bin/bash -c '
  # As systemd does: the processes leave the root cgroup, whose controllers go to its children.
  mkdir /sys/fs/cgroup/init && echo 1 > /sys/fs/cgroup/init/cgroup.procs
  for c in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$c" > /sys/fs/cgroup/cgroup.subtree_control
  done
  hostname trivet-guest
  /bin/bash /run/guest-command < /dev/null
  echo "guest: exit code $?"
  sync
  echo o > /proc/sysrq-trigger
  sleep 60'
