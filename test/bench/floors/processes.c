/*
 * What the kernel gives without Galley.
 *
 *   processes clock FILE WORD               appends "WORD <CLOCK_MONOTONIC ns>" to FILE: the first thing it does is to look
 *   processes spawn COUNT IN_FLIGHT PROGRAM starts COUNT processes, IN_FLIGHT at once, and prints the seconds that took
 *   processes first COUNT                   starts itself COUNT times, one after another, and prints for each the ns from
 *                                           before posix_spawn to its first instruction
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static pid_t start(char *const argv[]) {
  pid_t pid;
  if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0) exit(2);
  return pid;
}

static int spawn_many(int count, int in_flight, char *program) {
  char *argv[] = {program, NULL};
  int started = 0, ended = 0;
  long long from = now_ns();
  while (ended < count) {
    while (started < count && started - ended < in_flight) {
      start(argv);
      started++;
    }
    if (wait(NULL) < 0) return 2;
    ended++;
  }
  printf("%.6f\n", (now_ns() - from) / 1e9);
  return 0;
}

static int first_instructions(int count, char *self) {
  char *argv[] = {self, "look", NULL};
  for (int i = 0; i < count; i++) {
    int ends[2];
    long long seen;
    if (pipe(ends) != 0) return 2;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    pid_t pid;
    long long from = now_ns();
    if (posix_spawn(&pid, self, &actions, NULL, argv, environ) != 0) return 2;
    close(ends[1]);
    if (read(ends[0], &seen, sizeof seen) != sizeof seen) return 2;
    close(ends[0]);
    if (wait(NULL) < 0) return 2;
    posix_spawn_file_actions_destroy(&actions);
    printf("%lld\n", seen - from);
  }
  return 0;
}

int main(int argc, char **argv) {
  long long now = now_ns();
  if (argc == 2 && strcmp(argv[1], "look") == 0) return write(1, &now, sizeof now) == sizeof now ? 0 : 2;
  if (argc == 4 && strcmp(argv[1], "clock") == 0) {
    char line[256];
    int length = snprintf(line, sizeof line, "%s %lld\n", argv[3], now);
    int file = open(argv[2], O_WRONLY | O_APPEND);
    return file >= 0 && write(file, line, length) == length ? 0 : 2;
  }
  if (argc == 5 && strcmp(argv[1], "spawn") == 0) return spawn_many(atoi(argv[2]), atoi(argv[3]), argv[4]);
  if (argc == 3 && strcmp(argv[1], "first") == 0) return first_instructions(atoi(argv[2]), argv[0]);
  return 2;
}
