/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/agent/shutdown.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"

#define MAX_MOUNTS 64
#define GRACE_MS   500

/* Waits until no child is left (orphans are ours too), or ms have passed. */
static void
reap_for(unsigned ms)
{
	struct timespec tick = {.tv_nsec = 5000000};

	for (unsigned waited = 0; waited <= ms; waited += 5) {
		pid_t pid;

		do
			pid = waitpid(-1, NULL, WNOHANG);
		while (pid > 0);
		if (pid < 0)
			return; /* ECHILD */
		nanosleep(&tick, NULL);
	}
}

/* Last mounted, first unmounted: a mount may lie inside an earlier one. */
static void
unmount_devices(void)
{
	char *dirs[MAX_MOUNTS];
	unsigned count = 0;
	struct mntent *m;
	FILE *f = setmntent("/proc/self/mounts", "re");

	if (f == NULL)
		return;
	while (count < MAX_MOUNTS && (m = getmntent(f)) != NULL)
		if (strncmp(m->mnt_fsname, "/dev/", 5) == 0)
			dirs[count++] = strdup(m->mnt_dir);
	endmntent(f);
	while (count-- != 0) {
		if (dirs[count] != NULL && umount(dirs[count]) != 0)
			printf("spindle-agent: cannot unmount '%s': %s\n",
			       dirs[count], strerror(errno));
		free(dirs[count]);
	}
}

_Noreturn void
shutdown_now(int cmd)
{
	if (kill(-1, SIGTERM) == 0) {
		kill(-1, SIGCONT);
		reap_for(GRACE_MS);
		kill(-1, SIGKILL);
		reap_for(GRACE_MS);
	}
	sync();
	unmount_devices();
	fflush(stdout);
	reboot(cmd);
	printf("spindle-agent: cannot turn off: %s\n", strerror(errno));
	for (;;)
		pause();
}

/* Generic netlink: a family "acpi_event" with a multicast group
 * "acpi_mc_group" whose messages carry attribute 1, a struct of
 * {char class[20]; char bus_id[15]; u32 type; u32 data}. */
#define ACPI_FAMILY	 "acpi_event"
#define ACPI_GROUP	 "acpi_mc_group"
#define ACPI_CLASS_BYTES 20

struct message {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	u8 attrs[2048];
};

/* The attribute of this type in a run of attributes, or NULL. */
static const struct nlattr *
find_attr(const u8 *attrs, size_t size_bytes, u16 type)
{
	while (size_bytes >= NLA_HDRLEN) {
		const struct nlattr *a = (const void *)attrs;
		size_t step = NLA_ALIGN(a->nla_len);

		if (a->nla_len < NLA_HDRLEN || a->nla_len > size_bytes)
			return NULL;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		if (step > size_bytes)
			return NULL;
		attrs += step;
		size_bytes -= step;
	}
	return NULL;
}

static const u8 *
attr_data(const struct nlattr *a)
{
	return (const u8 *)a + NLA_HDRLEN;
}

static size_t
attr_size(const struct nlattr *a)
{
	return a->nla_len - NLA_HDRLEN;
}

/* Receives one message; returns the size of its attributes or -errno. */
static int
receive(int fd, struct message *m, int flags)
{
	ssize_t n = recv(fd, m, sizeof(*m), flags);

	if (n < 0)
		return -errno;
	if ((size_t)n < offsetof(struct message, attrs) ||
	    m->nl.nlmsg_len > (size_t)n ||
	    m->nl.nlmsg_len < offsetof(struct message, attrs) ||
	    m->nl.nlmsg_type == NLMSG_ERROR)
		return -ENOENT;
	return (int)(m->nl.nlmsg_len - offsetof(struct message, attrs));
}

/* The number of the multicast group, out of the answer to GETFAMILY. */
static int
find_group(const struct message *m, size_t size_bytes)
{
	const struct nlattr *groups =
	    find_attr(m->attrs, size_bytes, CTRL_ATTR_MCAST_GROUPS);
	const struct nlattr *group, *name, *id;

	if (groups == NULL)
		return -ENOENT;
	group = find_attr(attr_data(groups), attr_size(groups), 1);
	if (group == NULL)
		return -ENOENT;
	name = find_attr(attr_data(group), attr_size(group),
			 CTRL_ATTR_MCAST_GRP_NAME);
	id = find_attr(attr_data(group), attr_size(group),
		       CTRL_ATTR_MCAST_GRP_ID);
	if (name == NULL || id == NULL || attr_size(id) < 4 ||
	    attr_size(name) != sizeof(ACPI_GROUP) ||
	    memcmp(attr_data(name), ACPI_GROUP, sizeof(ACPI_GROUP)) != 0)
		return -ENOENT;
	return (int)get_le32(attr_data(id));
}

static int
join_group(int fd)
{
	struct message m = {
	    .nl = {.nlmsg_type = GENL_ID_CTRL, .nlmsg_flags = NLM_F_REQUEST},
	    .genl = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
	};
	struct nlattr *a = (void *)m.attrs;
	int n, group;

	a->nla_type = CTRL_ATTR_FAMILY_NAME;
	a->nla_len = NLA_HDRLEN + sizeof(ACPI_FAMILY);
	memcpy(m.attrs + NLA_HDRLEN, ACPI_FAMILY, sizeof(ACPI_FAMILY));
	m.nl.nlmsg_len =
	    offsetof(struct message, attrs) + NLA_ALIGN(a->nla_len);
	if (send(fd, &m, m.nl.nlmsg_len, 0) < 0)
		return -errno;
	n = receive(fd, &m, 0);
	if (n < 0)
		return n;
	group = find_group(&m, (size_t)n);
	if (group < 0)
		return group;
	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
		       sizeof(group)) != 0)
		return -errno;
	return 0;
}

int
shutdown_button_open(void)
{
	struct sockaddr_nl self = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = bind(fd, (void *)&self, sizeof(self)) == 0 ? join_group(fd)
							: -errno;
	if (rc != 0) {
		close(fd);
		return rc;
	}
	return fd;
}

bool
shutdown_button_pressed(int fd)
{
	struct message m;
	const struct nlattr *event;
	int n = receive(fd, &m, MSG_DONTWAIT);

	if (n < 0)
		return false;
	event = find_attr(m.attrs, (size_t)n, 1);
	return event != NULL && attr_size(event) > ACPI_CLASS_BYTES &&
	       strncmp((const char *)attr_data(event), "button/power",
		       ACPI_CLASS_BYTES) == 0;
}
