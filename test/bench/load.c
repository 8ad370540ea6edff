/*
 * The load generator: one process, one thread, epoll. In C, so that it costs little beside the server on the same
 * machine, and so that it shares nothing with it: not the event loop, not the codec.
 *
 * Sends requests that were encoded before, and of the replies looks only at what says that they are whole: the headers
 * of FastCGI records, or the number of bytes of an HTTP reply whose length is known. Nothing is allocated per request.
 *
 * A job is a line on standard input (see struct job); the answers are lines on standard output: "open" when the
 * connections that will be kept are there, then, after a line "go", the counts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { STDOUT_RECORD = 6, END_REQUEST = 3, MAX_MULTIPLEX = 128, MAX_ERRORS = 100, SILENCE_MS = 15000 };

struct job {
  int fastcgi;            /* else HTTP/1.1 */
  char address[108];      /* a socket path, or host:port */
  int connections;        /* at once */
  int multiplex;          /* requests at once on each connection; number k then always is variant k */
  int reuse;              /* else a new connection for each request, when the server has closed the one before */
  int hold;               /* keep the connections until this process ends */
  long expected;          /* FastCGI: bytes of STDOUT in a reply; HTTP: all its bytes */
  long requests;          /* end after so many, 0: no limit */
  long milliseconds;      /* end after that time, 0: no limit */
  long settle;            /* so many milliseconds go before: what is answered meanwhile is not in time */
  int variants;           /* requests in `file`, all of one length, sent in turn */
  char file[200];
};

/* A connection with what is being sent and answered on it. */
struct connection {
  int fd;
  int queue[MAX_MULTIPLEX]; /* variants still to be written, the first from `written` on */
  int queued;
  size_t written;
  int in_flight;
  int want_write;
  unsigned char header[8];
  int header_bytes;
  long skip;                     /* content and padding of a record still to come */
  long received[MAX_MULTIPLEX];  /* of each reply; HTTP uses the first */
};

static struct job job;
static struct connection *connections;
static char *requests;
static size_t request_length;
static int epoll;
static int busy;      /* connections that still have something to do */
static int stopped, counting;
static long sent, done, in_time, opened, errors;
static char first_error[200];
static unsigned char buffer[256 * 1024];

static long now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void fatal(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void failed(const char *what) {
  if (errors++ == 0) snprintf(first_error, sizeof first_error, "%s", what);
  if (errors >= MAX_ERRORS) stopped = 1;
}

/* Connecting waits, which over a Unix socket is the only way to sit out a full backlog. */
static int connect_now(void) {
  struct sockaddr_un unix_address = {.sun_family = AF_UNIX};
  struct sockaddr_in tcp_address = {.sin_family = AF_INET};
  struct timeval patience = {.tv_sec = 5};
  char *colon = strrchr(job.address, ':');
  int tcp = job.address[0] != '/' && colon != NULL;
  int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int result, on = 1;
  if (fd < 0) fatal("socket");
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (tcp) {
    char host[108] = "";
    memcpy(host, job.address, colon - job.address);
    inet_pton(AF_INET, host, &tcp_address.sin_addr);
    tcp_address.sin_port = htons(atoi(colon + 1));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    result = connect(fd, (struct sockaddr *)&tcp_address, sizeof tcp_address);
  } else {
    memcpy(unix_address.sun_path, job.address, sizeof unix_address.sun_path);
    result = connect(fd, (struct sockaddr *)&unix_address, sizeof unix_address);
  }
  if (result < 0) {
    failed(strerror(errno));
    close(fd);
    return -1;
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  opened++;
  return fd;
}

static void watch(struct connection *c, int operation) {
  struct epoll_event event = {.events = EPOLLIN | (c->want_write ? EPOLLOUT : 0), .data.ptr = c};
  if (epoll_ctl(epoll, operation, c->fd, &event) < 0) fatal("epoll_ctl");
}

static int open_connection(struct connection *c) {
  memset(c, 0, sizeof *c);
  c->fd = connect_now();
  if (c->fd < 0) return 0;
  watch(c, EPOLL_CTL_ADD);
  return 1;
}

static void close_connection(struct connection *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

static int nothing_more(void) { return stopped || (job.requests > 0 && sent >= job.requests); }

/* Writes as much of the queue as the socket takes. 0: the connection is gone. */
static int flush_queue(struct connection *c) {
  int was = c->want_write;
  while (c->queued > 0) {
    struct iovec parts[MAX_MULTIPLEX];
    for (int at = 0; at < c->queued; at++) {
      parts[at].iov_base = requests + request_length * c->queue[at];
      parts[at].iov_len = request_length;
    }
    parts[0].iov_base = (char *)parts[0].iov_base + c->written;
    parts[0].iov_len -= c->written;
    ssize_t taken = writev(c->fd, parts, c->queued);
    if (taken < 0 && errno == EAGAIN) break;
    if (taken < 0) return 0;
    c->written += taken;
    int whole = c->written / request_length;
    c->written %= request_length;
    c->queued -= whole;
    memmove(c->queue, c->queue + whole, c->queued * sizeof c->queue[0]);
  }
  c->want_write = c->queued > 0;
  if (c->want_write != was) watch(c, EPOLL_CTL_MOD);
  return 1;
}

/* Puts the next request into the queue, as number `slot` of those under way on this connection. */
static void enqueue(struct connection *c, int slot) {
  if (nothing_more()) return;
  c->queue[c->queued++] = job.multiplex > 1 ? slot : sent % job.variants;
  c->in_flight++;
  sent++;
}

static void lost(struct connection *c, const char *what) {
  failed(what);
  close_connection(c);
  c->in_flight = 0;
  busy--;
}

/* Fills the connection with requests. */
static void begin(struct connection *c) {
  for (int slot = 0; slot < job.multiplex; slot++) enqueue(c, slot);
  if (c->in_flight == 0) busy--;
  else if (!flush_queue(c)) lost(c, "the connection ended while a request was being sent");
}

static void begin_on_new_connection(struct connection *c) {
  while (!nothing_more()) {
    if (!open_connection(c)) continue;
    begin(c);
    return;
  }
  busy--;
}

/* A reply is whole. 0: it is not the one that was expected. */
static int finish(struct connection *c, int slot) {
  int right = c->received[slot] == job.expected;
  c->received[slot] = 0;
  if (!right) return 0;
  c->in_flight--;
  done++;
  if (counting && !stopped) in_time++;
  if (job.reuse) enqueue(c, slot);
  return 1;
}

static int take_header(struct connection *c, const unsigned char *header) {
  int content = header[4] << 8 | header[5];
  int slot = (header[2] << 8 | header[3]) - 1;
  if (slot < 0 || slot >= job.multiplex) return 0;
  c->skip = content + header[6];
  if (header[1] == STDOUT_RECORD) c->received[slot] += content;
  /* What stands in END_REQUEST itself is passed over with the bytes that come next. */
  if (header[1] == END_REQUEST) return finish(c, slot);
  return 1;
}

/* 0: these are not the replies that were expected. */
static int scan_fastcgi(struct connection *c, long length) {
  for (long at = 0; at < length;) {
    if (c->skip > 0) {
      long taken = c->skip < length - at ? c->skip : length - at;
      c->skip -= taken;
      at += taken;
    } else if (c->header_bytes == 0 && length - at >= 8) {
      if (!take_header(c, buffer + at)) return 0;
      at += 8;
    } else {
      c->header[c->header_bytes++] = buffer[at++];
      if (c->header_bytes < 8) continue;
      c->header_bytes = 0;
      if (!take_header(c, c->header)) return 0;
    }
  }
  return 1;
}

static int scan_http(struct connection *c, long length) {
  if (c->in_flight == 0) return 0;
  if (c->received[0] == 0 && length > 9 && buffer[9] != '2') return 0;
  c->received[0] += length;
  return c->received[0] < job.expected ? 1 : finish(c, 0);
}

static void readable(struct connection *c) {
  ssize_t length = read(c->fd, buffer, sizeof buffer);
  if (length < 0 && errno == EAGAIN) return;
  if (length <= 0) {
    if (c->in_flight > 0) return lost(c, "the connection ended before the reply");
    close_connection(c);
    if (!job.reuse) begin_on_new_connection(c);
    return;
  }
  int idle = c->in_flight == 0;
  if (!(job.fastcgi ? scan_fastcgi(c, length) : scan_http(c, length))) {
    lost(c, "a reply whose status or length is not that of the first one");
    return;
  }
  if (c->queued > 0 && !flush_queue(c)) return lost(c, "the connection ended while a request was being sent");
  if (job.reuse && !idle && c->in_flight == 0) busy--;
}

static void run(long counted_from, long end) {
  struct epoll_event events[1024];
  while (busy > 0) {
    int patience = stopped || end == 0 ? SILENCE_MS : 20;
    int count = epoll_wait(epoll, events, 1024, patience);
    if (count == 0 && patience == SILENCE_MS) return failed("no reply came for 15 s");
    if (end > 0 && now(CLOCK_MONOTONIC) >= end) stopped = 1;
    if (!counting && now(CLOCK_MONOTONIC) >= counted_from) counting = 1;
    for (int at = 0; at < count; at++) {
      struct connection *c = events[at].data.ptr;
      if (c->fd >= 0 && (events[at].events & EPOLLOUT) && !flush_queue(c)) {
        lost(c, "the connection ended while a request was being sent");
      }
      if (c->fd >= 0 && (events[at].events & ~EPOLLOUT)) readable(c);
    }
  }
}

static void read_requests(void) {
  struct stat information;
  FILE *file = fopen(job.file, "r");
  if (file == NULL || fstat(fileno(file), &information) < 0) fatal(job.file);
  requests = malloc(information.st_size);
  if (fread(requests, 1, information.st_size, file) != (size_t)information.st_size) fatal(job.file);
  fclose(file);
  request_length = information.st_size / job.variants;
}

static void work(void) {
  char line[64];
  read_requests();
  connections = calloc(job.connections, sizeof *connections);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  sent = done = in_time = opened = errors = stopped = 0;
  first_error[0] = 0;
  busy = job.connections;
  for (int at = 0; at < job.connections; at++) {
    connections[at].fd = -1;
    if (job.reuse && !open_connection(&connections[at])) fatal("connect");
  }
  puts("open");
  if (fgets(line, sizeof line, stdin) == NULL) exit(0);

  long cpu = now(CLOCK_PROCESS_CPUTIME_ID), started = now(CLOCK_MONOTONIC);
  long counted_from = started + job.settle * 1000000L;
  counting = job.settle == 0;
  long end = job.milliseconds > 0 ? counted_from + job.milliseconds * 1000000L : 0;
  for (int at = 0; at < job.connections; at++) {
    if (job.reuse) begin(&connections[at]);
    else begin_on_new_connection(&connections[at]);
  }
  run(counted_from, end);
  long finished = now(CLOCK_MONOTONIC), window = end > 0 && end < finished ? end : finished;
  cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  printf("{\"requests\":%ld,\"inTime\":%ld,\"connections\":%ld,\"errors\":%ld,\"firstError\":\"%s\","
         "\"seconds\":%.9f,\"window\":%.9f,\"cpuSeconds\":%.9f}\n",
         done, in_time, opened, errors, first_error, (finished - started) / 1e9, (window - counted_from) / 1e9, cpu / 1e9);
  if (job.hold) return;
  for (int at = 0; at < job.connections; at++) close_connection(&connections[at]);
  close(epoll);
  free(connections);
  free(requests);
}

int main(void) {
  char line[1024], protocol[16];
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin) != NULL) {
    int fields = sscanf(line, "%15s %107s %d %d %d %d %ld %ld %ld %ld %d %199s", protocol, job.address, &job.connections,
                        &job.multiplex, &job.reuse, &job.hold, &job.expected, &job.requests, &job.milliseconds,
                        &job.settle, &job.variants, job.file);
    if (fields != 12 || job.multiplex > MAX_MULTIPLEX) {
      fprintf(stderr, "load: not a job: %s", line);
      return 1;
    }
    job.fastcgi = strcmp(protocol, "fastcgi") == 0;
    work();
  }
  return 0;
}
