#!/bin/busybox sh
# The first program of a ringzero guest. It mounts the kernel's file systems and gives a shell on
# the console, or runs a command and powers off, handing the exit status of either to the machine's
# test finisher. On the kernel's command line may stand:
#   ringzero.run=COMMAND        ("..." around spaces)
#   ringzero.words="FORMAT"     a command as printf(1) writes it, which holds any bytes but NUL
#   ringzero.size=COLUMNSxROWS  of the terminal, where there is no console device to ask
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=${TERM:-linux}

set_size() { # columns, rows
    [ "$1" -gt 0 ] && [ "$2" -gt 0 ] && stty -F /dev/console cols "$1" rows "$2"
}

follow_size() {
    # virtio's console device knows the terminal's size; as the terminal that controls this session
    # it tells of changes by SIGWINCH. Where it is the console itself, Linux does all of that.
    exec 3</dev/hvc0 || return
    take_size() {
        set -- $(stty size <&3)
        set_size "${2:-0}" "${1:-0}"
    }
    trap take_size WINCH
    take_size
    while :; do
        sleep 86400 &
        wait $!
    done
}

if [ "$1" = follow_size ]; then # started below, as the leader of a session of its own
    follow_size
    exit
fi

mount -t proc proc /proc
mount -t sysfs sysfs /sys
grep -q " /dev devtmpfs " /proc/mounts || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t tmpfs tmpfs /run 2>/dev/null
mount -t tmpfs tmpfs /tmp 2>/dev/null
hostname ringzero
ip link set lo up 2>/dev/null

if [ -r /lib/ringzero-modules ]; then
    while read -r module; do
        insmod "$module" || echo "ringzero: $module could not be loaded" >&2
    done </lib/ringzero-modules
fi

# A disk's driver, where there is a disk that has none yet: first its bus, on boards of QEMU's kind.
slot=/sys/firmware/devicetree/base/soc/virtio_mmio@10001000
if [ -d "$slot" ] && ! [ -e /sys/bus/platform/drivers/virtio-mmio ] &&
    [ "$(devmem 0x10001008 32 2>/dev/null)" != 0x00000000 ]; then
    modprobe -q virtio_mmio
fi
for disk in $(grep -ls '^0x0002$' /sys/bus/virtio/devices/*/device); do
    [ -e "${disk%/*}/driver" ] || modprobe -q virtio_blk
done

# With an initramfs there is no console before devtmpfs is there.
[ -c /dev/console ] && exec </dev/console >/dev/console 2>&1

command=
read -r line </proc/cmdline
case " $line" in
*' ringzero.words="'*)
    command=${line#*ringzero.words=\"}
    # Without the full stop, newlines at the end would be lost.
    command=$(printf "${command%%\"*}.")
    command=${command%.}
    ;;
*" ringzero.run=\""*)
    command=${line#*ringzero.run=\"}
    command=${command%%\"*}
    ;;
*" \"ringzero.run="*) # the kernel moves the quotation mark to the front of the parameter
    command=${line#*\"ringzero.run=}
    command=${command%%\"*}
    ;;
*" ringzero.run="*)
    command=${line#*ringzero.run=}
    command=${command%% *}
    ;;
esac

finish() {
    # SiFive test finisher, as on QEMU's virt board: 0x3333 fails with the code above it.
    [ "$1" -ne 0 ] && grep -qs sifive,test /sys/firmware/devicetree/base/*/test@*/compatible &&
        devmem 0x100000 32 $(($1 << 16 | 0x3333)) 2>/dev/null
    # The same device on ringzero's x86-64 board, which its ACPI tables tell apart.
    [ "$1" -ne 0 ] && grep -qs RINGZERO /sys/firmware/acpi/tables/FACP &&
        devmem 0xd0100000 32 $(($1 << 16 | 0x3333)) 2>/dev/null
    sync
    poweroff -f
}

cd /root || cd /
if [ -n "$command" ]; then
    sh -c "$command"
    finish $?
else
    echo
    echo "ringzero: Linux $(uname -r) on $(uname -m), hart count $(nproc). 'exit' powers off."
    case " $line" in
    *" ringzero.size="*)
        size=${line##* ringzero.size=}
        size=${size%% *}
        set_size "${size%x*}" "${size#*x}"
        ;;
    esac
    if [ -e /sys/class/virtio-ports ] && ! grep -qs hvc /sys/class/tty/console/active; then
        setsid "$0" follow_size 2>/dev/null &
    fi
    setsid cttyhack sh
    finish $?
fi
