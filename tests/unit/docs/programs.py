"""Programs that are not ours and that a page may tell a person to run, and whence one has them."""

_FROM = {
    "the shell": ". : [ alias cd echo eval exec exit export false kill printf read set test trap"
    " true type ulimit umask unset wait",
    "coreutils": "base64 cat chmod chown cp cut date df du env head id install ln ls mkdir mktemp"
    " mv nohup rm rmdir seq sha256sum sleep sort stat stdbuf tail tee timeout touch tr truncate"
    " uname uniq wc yes",
    "procps": "free pgrep pkill ps top watch",
    "util-linux": "flock mount nsenter runuser setpriv umount unshare",
    "iproute2": "ip ss",
    "adduser": "addgroup adduser",
    "passwd": "groupadd groupdel useradd userdel usermod",
    "apt": "apt apt-cache apt-get",
    "dpkg": "dpkg dpkg-query",
    "systemd": "journalctl systemctl systemd-analyze systemd-sysusers systemd-tmpfiles",
    "prometheus": "prometheus promtool",
    "prometheus-alertmanager": "amtool",
    "mtail": "mtail",
    "nginx": "nginx",
    "logrotate": "logrotate",
    "curl": "curl",
    "mawk": "awk",
    "grep": "grep",
    "sed": "sed",
    "findutils": "find xargs",
    "gzip": "gzip",
    "tar": "tar",
    "git": "git",
    "jq": "jq",
    "openssl": "openssl",
    "sudo": "sudo",
    "cron": "crontab",
    "dash": "sh",
    "bash": "bash",
    "docker": "docker",
    "docker-compose": "docker-compose",
    "kubernetes": "kubectl kustomize",
    "openshift": "oc",
    "helm": "helm",
}
PROGRAMS = {program: source for source, names in _FROM.items() for program in names.split()}
