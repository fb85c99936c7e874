/* SPDX-License-Identifier: BSD-2-Clause */
/* init - process 1 of a Spindle guest
 *
 * What:    mounts what a userland expects, loads the modules that the kernel
 *          command line names, and then either serves the host over ttyS1
 *          (serve.h) or gives a shell on the console, and turns the machine
 *          off when that ends.
 *
 *          The kernel command line says what is wanted:
 *            spindle.agent=1         a host listens on ttyS1
 *            spindle.modules=A,B     load these modules first
 *            spindle.rows=N spindle.cols=N spindle.term=NAME   the terminal
 * Model:   busybox's poweroff, reboot and halt signal process 1 with SIGUSR2,
 *          SIGTERM and SIGUSR1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "guest/agent/serve.h"
#include "guest/agent/shutdown.h"

#define AGENT_LINE  "/dev/ttyS1"
#define GREETING_MS 10000

static char cmdline[4096];
static sigset_t init_signals;

/* The value of key= on the kernel command line, or NULL. */
static char *
option(const char *key, char value[256])
{
	size_t key_size = strlen(key);

	for (const char *p = cmdline; *p != '\0'; p += strcspn(p, " ")) {
		p += strspn(p, " ");
		if (strncmp(p, key, key_size) != 0 || p[key_size] != '=')
			continue;
		p += key_size + 1;
		snprintf(value, 256, "%.*s", (int)strcspn(p, " "), p);
		return value;
	}
	return NULL;
}

static void
read_cmdline(void)
{
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, cmdline, sizeof(cmdline) - 1);
	close(fd);
	if (n > 0)
		cmdline[strcspn(cmdline, "\n")] = '\0';
}

static void
mount_at(const char *type, const char *dir, const char *data)
{
	mkdir(dir, 0755);
	if (mount(type, dir, type, 0, data) != 0 && errno != EBUSY)
		printf("spindle-agent: cannot mount '%s': %s\n", dir,
		       strerror(errno));
}

static void
mount_all(void)
{
	mount_at("proc", "/proc", NULL);
	mount_at("sysfs", "/sys", NULL);
	mount_at("devtmpfs", "/dev", "mode=0755");
	mount_at("devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666");
	mount_at("tmpfs", "/dev/shm", "mode=1777");
	mount_at("tmpfs", "/tmp", "mode=1777");
	mount_at("tmpfs", "/run", "mode=0755");
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

static void
set_environment(void)
{
	char value[256];
	const char *term = option("spindle.term", value);

	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", term != NULL ? term : "linux", 1);
	setenv("PS1", "guest:\\w\\$ ", 1);
	unsetenv("BOOT_IMAGE");
}

/* modprobe says itself what went wrong. */
static void
load_modules(char *names)
{
	char *name;

	while ((name = strsep(&names, ",")) != NULL) {
		pid_t pid = *name != '\0' ? fork() : -1;

		if (pid == 0) {
			execl("/sbin/modprobe", "modprobe", name, NULL);
			_exit(127);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
}

/* The terminal behind the console, by its own name, since /dev/console
 * cannot be a controlling terminal. */
static int
open_terminal(void)
{
	char active[256] = "", path[300];
	const char *name;
	int fd = open("/sys/class/tty/console/active", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, active, sizeof(active) - 1) < 0)
			active[0] = '\0';
		close(fd);
	}
	active[strcspn(active, "\n")] = '\0';
	name = strrchr(active, ' ');
	name = name != NULL ? name + 1 : active;
	snprintf(path, sizeof(path), "/dev/%s",
		 *name != '\0' ? name : "console");
	return open(path, O_RDWR | O_CLOEXEC);
}

static void
set_window(int fd)
{
	char rows[256], cols[256];
	struct winsize w = {0};

	if (option("spindle.rows", rows) == NULL ||
	    option("spindle.cols", cols) == NULL)
		return;
	w.ws_row = (unsigned short)atoi(rows);
	w.ws_col = (unsigned short)atoi(cols);
	ioctl(fd, TIOCSWINSZ, &w);
}

static pid_t
start_shell(void)
{
	static char *const argv[] = {"-sh", NULL};
	sigset_t none;
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	setsid();
	fd = open_terminal();
	if (fd >= 0) {
		ioctl(fd, TIOCSCTTY, 0);
		set_window(fd);
		for (int i = 0; i < 3; i++)
			dup2(fd, i);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/root") != 0)
		perror("spindle-agent: /root");
	execv("/bin/sh", argv);
	perror("spindle-agent: cannot run '/bin/sh'");
	_exit(127);
}

/* One child or orphan after the other. True when the shell was among them. */
static bool
reap(pid_t shell)
{
	bool shell_ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		serve_reaped(pid, status);
		shell_ended |= pid == shell;
	}
	return shell_ended;
}

/* Handles what signalfd brought. True when the shell has ended. */
static bool
take_signals(int fd, pid_t shell)
{
	struct signalfd_siginfo info;
	bool shell_ended = false;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			shell_ended |= reap(shell);
			break;
		case SIGUSR1:
			shutdown_now(RB_HALT_SYSTEM);
		case SIGUSR2:
			shutdown_now(RB_POWER_OFF);
		case SIGTERM:
		case SIGINT:
			shutdown_now(RB_AUTOBOOT);
		}
	}
	return shell_ended;
}

static u64
uptime_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (u64)now.tv_sec * 1000 + (u64)now.tv_nsec / 1000000;
}

static pid_t
open_shell(void)
{
	struct utsname u;

	if (uname(&u) == 0)
		printf("Spindle guest, Linux %s. `exit` turns it off.\n",
		       u.release);
	fflush(stdout);
	return start_shell();
}

/* Either the line is open and serves the host, or there is a shell. */
static _Noreturn void
run(bool serving)
{
	enum { SIGNALS, BUTTON, SERVE, COUNT = SERVE + SERVE_FDS };
	struct pollfd fds[COUNT];
	pid_t shell = serving ? 0 : open_shell();
	int signals = signalfd(-1, &init_signals, SFD_NONBLOCK | SFD_CLOEXEC);
	int button = shutdown_button_open();
	u64 greeting_ends_ms = uptime_ms() + GREETING_MS;

	for (;;) {
		enum serve_result result = SERVE_ON;
		bool waiting = serving && !serve_greeted();

		for (unsigned i = 0; i < COUNT; i++)
			fds[i] = (struct pollfd){.fd = -1};
		fds[SIGNALS] = (struct pollfd){signals, POLLIN, 0};
		fds[BUTTON] = (struct pollfd){button, POLLIN, 0};
		if (serving)
			serve_poll(fds + SERVE);
		poll(fds, COUNT, waiting ? 1000 : -1);
		if (fds[SIGNALS].revents != 0 && take_signals(signals, shell))
			shutdown_now(RB_POWER_OFF);
		if (fds[BUTTON].revents != 0 && shutdown_button_pressed(button))
			shutdown_now(RB_POWER_OFF);
		if (serving)
			result = serve_run(fds + SERVE);
		if (result == SERVE_POWEROFF)
			shutdown_now(RB_POWER_OFF);
		if (result == SERVE_BROKEN) {
			printf("spindle-agent: the conversation with the host "
			       "on " AGENT_LINE " broke\n");
			shutdown_now(RB_POWER_OFF);
		}
		if (waiting && !serve_greeted() &&
		    uptime_ms() >= greeting_ends_ms) {
			printf("spindle-agent: nobody answers on " AGENT_LINE
			       "; here is a shell\n");
			serve_close();
			serving = false;
			shell = open_shell();
		}
	}
}

static void
block_signals(void)
{
	sigemptyset(&init_signals);
	sigaddset(&init_signals, SIGCHLD);
	sigaddset(&init_signals, SIGUSR1);
	sigaddset(&init_signals, SIGUSR2);
	sigaddset(&init_signals, SIGTERM);
	sigaddset(&init_signals, SIGINT);
	sigprocmask(SIG_BLOCK, &init_signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int
main(void)
{
	char value[256];
	bool serving = false;
	int rc;

	if (getpid() != 1) {
		fprintf(stderr, "spindle-agent: only the kernel starts me\n");
		return 1;
	}
	block_signals();
	setvbuf(stdout, NULL, _IOLBF, 0);
	mount_all();
	read_cmdline();
	set_environment();
	reboot(RB_DISABLE_CAD);
	if (option("spindle.modules", value) != NULL)
		load_modules(value);
	if (option("spindle.agent", value) != NULL && strcmp(value, "1") == 0) {
		rc = serve_open(AGENT_LINE);
		serving = rc == 0;
		if (rc != 0)
			printf("spindle-agent: cannot open " AGENT_LINE
			       ": %s\n",
			       strerror(-rc));
	}
	run(serving);
}
