// wsload: a WebSocket load generator for one machine, one thread, epoll. Loopback only, bounded in time and count.
// It prints MEASURING when its warm-up is over, and one line of JSON at the end, which counts only what came in between.
//   echo    every connection keeps --pipeline messages in flight; prints replies/s and latency
//   fanout  connection 0 publishes, every connection (or all but the publisher, --others) must receive; prints deliveries/s
//   paced   sends --rate messages a second, evenly over the connections, whatever comes back (an open loop): the latency
//           counts from the moment when a message was due, so that a stall of the server is not hidden by waiting for it
//   room    connection 0 publishes --rate messages a second, stamped with number and time, whatever comes back; every
//           connection checks that it gets every one of them once and in order, and prints the latency of those on the
//           publisher's port and of those on --port2 apart. --msg needs a run of x for the stamp. --histogram adds all
//           latencies on the publisher's port, in classes 1.6 % wide, and what disturbed this program meanwhile
//   With --port2, every other connection goes there.
//   rooms   connection i is in room i % --topics (the %d of --path), and in a process by chance: on --port, --port2 or
//           --port3. Prints READY and how many processes a room is in, on average, then reads lines of "RATE SECONDS" from
//           its input: each has a member taken by chance send that often, and prints as many deliveries as came of it
//   idle    opens --conns connections, prints READY and holds them for --secs
//   connect opens and closes connections as fast as it can; prints handshakes/s
// Build: cc -O2 -o wsload wsload.c
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <linux/sockios.h>
#include <unistd.h>

enum { HTTPMAX = 8192, PREFIX = 128, QUEUE = 64 };
typedef struct {
  int fd, state;            // 0 connecting, 1 handshake sent, 2 open, 3 closed
  int hello_sent, ready;    // ready: hellos sent and --ready seen
  uint8_t hdr[14];
  int hlen;
  uint64_t left;            // payload bytes still to come
  int prefix_have;
  char prefix[PREFIX];
  uint8_t op;
  char *http;
  int httplen;
  uint64_t t_sent[QUEUE];
  int q_head, q_len;
  uint64_t got;             // in room: the number that comes next
} conn;

static const char *mode, *path = "/", *host = "127.0.0.1", *proto = NULL, *cookie = NULL, *msg = NULL, *match = "", *readymark = NULL, *origin = NULL;
static const char *hello[16];
static int nhello, port = 8000, port2 = 0, port3 = 0, nconns = 100, size = 64, pipeline = 1, others = 0, window = 1, binary = 0, ntopics = 0, histogram = 0;
static double secs = 5, warm = 1, rate = 1000;
static uint64_t overrun;
static int ep;
static conn *cs;
static int nopen, nready, nclosed;
static uint8_t *frame;
static int framelen;

static uint64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static void die(const char *w) { fprintf(stderr, "wsload: %s: %s\n", w, strerror(errno)); exit(2); }

static int build(uint8_t *out, const char *p, int n, int op) {
  int h = 0;
  static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
  out[h++] = 0x80 | op;
  if (n < 126) out[h++] = 0x80 | n;
  else if (n < 65536) { out[h++] = 0x80 | 126; out[h++] = n >> 8; out[h++] = n; }
  else { out[h++] = 0x80 | 127; for (int i = 7; i >= 0; i--) out[h++] = (uint64_t)n >> (8 * i); }
  memcpy(out + h, key, 4); h += 4;
  for (int i = 0; i < n; i++) out[h + i] = p[i] ^ key[i & 3];
  return h + n;
}
static void wr(conn *c, const void *b, int n) {
  const char *p = b;
  while (n > 0) {
    ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);
    if (k < 0) {
      if (errno == EAGAIN) { usleep(50); continue; }
      c->state = 3; nclosed++; return;
    }
    p += k; n -= k;
  }
}
// A number by chance, the same for the same n.
static uint64_t chance(uint64_t n) {
  n += 0x9e3779b97f4a7c15; n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9; n = (n ^ n >> 27) * 0x94d049bb133111eb;
  return n ^ n >> 31;
}
static int process_of(int i) { return port3 ? chance(i) % 3 : port2 ? i & 1 : 0; }
static int port_of(int i) { int process = process_of(i); return process == 2 ? port3 : process ? port2 : port; }
static void open_conn(conn *c, int i) {
  memset(c, 0, sizeof *c);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in s = {.sin_family = AF_INET};
  if (nconns > 20000) {     // one source address has some 28,000 ports
    s.sin_addr.s_addr = htonl(0x7f000002 + i / 20000);
    setsockopt(c->fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
    if (bind(c->fd, (void *)&s, sizeof s)) die("bind");
  }
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port_of(i))};
  inet_pton(AF_INET, host, &a.sin_addr);
  if (connect(c->fd, (void *)&a, sizeof a) && errno != EINPROGRESS) die("connect");
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}
static void handshake(conn *c) {
  char b[2048];
  int id = c - cs;
  char realpath[512];
  if (ntopics) snprintf(realpath, sizeof realpath, path, id % ntopics); else snprintf(realpath, sizeof realpath, "%s", path);
  int n = snprintf(b, sizeof b,
    "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n", realpath, host, port_of(id));
  if (proto) n += snprintf(b + n, sizeof b - n, "Sec-WebSocket-Protocol: %s\r\n", proto);
  if (cookie) n += snprintf(b + n, sizeof b - n, "Cookie: %s\r\n", cookie);
  if (origin) n += snprintf(b + n, sizeof b - n, "Origin: %s\r\n", origin);
  n += snprintf(b + n, sizeof b - n, "\r\n");
  c->state = 1;
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
  wr(c, b, n);
}

static void on_message(conn *c);
static void send_one(conn *c) {
  c->t_sent[(c->q_head + c->q_len) & (QUEUE - 1)] = now();
  c->q_len++;
  wr(c, frame, framelen);
}
// A message that was due at this time; one that finds its connection's queue full is counted and not sent.
static void send_due(conn *c, uint64_t due) {
  if (c->q_len == QUEUE) { overrun++; return; }
  c->t_sent[(c->q_head + c->q_len) & (QUEUE - 1)] = due;
  c->q_len++;
  wr(c, frame, framelen);
}
static void mark_ready(conn *c) { if (!c->ready) { c->ready = 1; nready++; } }
static void send_hellos(conn *c) {
  uint8_t b[4096];
  for (int i = 0; i < nhello; i++) { int n = build(b, hello[i], strlen(hello[i]), 1); wr(c, b, n); }
  c->hello_sent = 1;
  if (!readymark) mark_ready(c);
}
static void on_payload_done(conn *c) {
  if (c->op == 8) { c->state = 3; nclosed++; close(c->fd); return; }
  if (c->op == 9) { uint8_t b[512]; int n = build(b, c->prefix, c->prefix_have < 125 ? c->prefix_have : 125, 10); wr(c, b, n); return; }
  if (c->op == 10) return;
  if (readymark && !c->ready) {
    c->prefix[c->prefix_have < PREFIX - 1 ? c->prefix_have : PREFIX - 1] = 0;
    if (strstr(c->prefix, readymark)) mark_ready(c);
    return;
  }
  int ml = strlen(match);
  if (ml && (c->prefix_have < ml || memcmp(c->prefix, match, ml))) return;
  on_message(c);
}
static void feed(conn *c, const uint8_t *p, ssize_t n) {
  while (n > 0 && c->state == 2) {
    if (c->left) {
      uint64_t k = (uint64_t)n < c->left ? (uint64_t)n : c->left;
      int room = PREFIX - 1 - c->prefix_have;
      if (room > 0) { int q = (int)(k < (uint64_t)room ? k : (uint64_t)room); memcpy(c->prefix + c->prefix_have, p, q); c->prefix_have += q; }
      p += k; n -= k; c->left -= k;
      if (!c->left) on_payload_done(c);
      continue;
    }
    c->hdr[c->hlen++] = *p++; n--;
    if (c->hlen < 2) continue;
    int l7 = c->hdr[1] & 127, need = l7 < 126 ? 2 : l7 == 126 ? 4 : 10;
    if (c->hlen < need) continue;
    uint64_t len = l7;
    if (l7 == 126) len = c->hdr[2] << 8 | c->hdr[3];
    else if (l7 == 127) { len = 0; for (int i = 2; i < 10; i++) len = len << 8 | c->hdr[i]; }
    c->op = c->hdr[0] & 15; c->hlen = 0; c->prefix_have = 0; c->left = len;
    if (!len) on_payload_done(c);
  }
}
static int max_opening = 64;
static void on_io(conn *c, uint32_t ev) {
  static uint8_t buf[1 << 18];
  if (c->state == 0 && (ev & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
    int err = 0; socklen_t l = sizeof err;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &l);
    if (err) { errno = err; die("connect"); }
    handshake(c); return;
  }
  if (!(ev & (EPOLLIN | EPOLLHUP | EPOLLERR)) || c->state == 3) return;
  ssize_t n = recv(c->fd, buf, sizeof buf, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) { if (c->state != 3) { if (c->state == 1) fprintf(stderr, "wsload: closed in handshake: %.80s\n", c->http ? c->http : ""); c->state = 3; nclosed++; close(c->fd); } return; }
  if (c->state == 1) {
    if (!c->http) c->http = malloc(HTTPMAX);
    int k = n < HTTPMAX - 1 - c->httplen ? (int)n : HTTPMAX - 1 - c->httplen;
    memcpy(c->http + c->httplen, buf, k);
    int before = c->httplen;
    c->httplen += k; c->http[c->httplen] = 0;
    char *e = strstr(c->http, "\r\n\r\n");
    if (!e) return;
    if (strncmp(c->http, "HTTP/1.1 101", 12)) { fprintf(stderr, "wsload: refused: %.200s\n", c->http); exit(3); }
    c->state = 2; nopen++;
    int used = (int)(e + 4 - c->http) - before;
    free(c->http); c->http = NULL;
    send_hellos(c);
    if (used < n) feed(c, buf + used, n - used);
    return;
  }
  feed(c, buf, n);
}
static int pump(int ms) {
  struct epoll_event ev[1024];
  int k = epoll_wait(ep, ev, 1024, ms);
  for (int i = 0; i < k; i++) on_io(ev[i].data.ptr, ev[i].events);
  return k;
}
// Handles what has come; where nothing has, waits for it until that time, by the nanosecond, where epoll_wait knows ms.
static void pump_until(uint64_t until) {
  if (pump(0) > 0) return;
  uint64_t t = now(), left = until > t + 20000 ? until - t : 20000;
  struct timespec wait = {left / 1000000000, left % 1000000000};
  struct pollfd one = {.fd = ep, .events = POLLIN};
  ppoll(&one, 1, &wait, NULL);
}

static uint64_t *lat; static size_t nlat, caplat = 4000000;
static int measuring; static uint64_t count, round_got, round_need, rounds, t_round, t_start;
static int cmp(const void *a, const void *b) { uint64_t x = *(uint64_t *)a, y = *(uint64_t *)b; return x < y ? -1 : x > y; }
static void addlat(uint64_t v) { if (measuring && nlat < caplat) lat[nlat++] = v; }

// Classes of latencies: 64 to each doubling, so that rounds can be added up and any share of them be told.
enum { CLASSES = 64 * 40 };
static uint64_t classes[CLASSES];
static int class_of(uint64_t v) {
  int e = v < 128 ? 0 : 57 - __builtin_clzll(v);
  int k = 64 * e + (int)(v >> e);
  return k < CLASSES ? k : CLASSES - 1;
}
static double class_us(int k) { int e = k < 128 ? 0 : k / 64 - 1; return (double)((uint64_t)(k - 64 * e + 1) << e) / 1e3; } // its end
// Nanoseconds that this program could have run and had to wait for the processor.
static unsigned long long run_delay(void) {
  unsigned long long ran = 0, waited = 0;
  FILE *f = fopen("/proc/self/schedstat", "r");
  if (f) { if (fscanf(f, "%llu %llu", &ran, &waited) != 2) waited = 0; fclose(f); }
  return waited;
}
static double cpu_of(const struct rusage *r) { return r->ru_utime.tv_sec + r->ru_stime.tv_sec + (r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6; }

// The room: what is counted begins with number first; before it, subscriptions may still be on their way.
enum { STAMP = 31 };
static uint64_t *lat2, nlat2, first = UINT64_MAX, lost, disorder;
static uint64_t sent_at, number;   // of the message that is looked at
static void read_stamp(conn *c) {
  c->prefix[c->prefix_have < PREFIX - 1 ? c->prefix_have : PREFIX - 1] = 0;
  char *t = strchr(c->prefix, 'T');
  if (!t || c->prefix + c->prefix_have - t < STAMP || t[20] != 'S') { fprintf(stderr, "wsload: no stamp in %s\n", c->prefix); exit(3); }
  sent_at = number = 0;   // by hand, for each delivery passes here
  for (int i = 1; i < 20; i++) sent_at = sent_at * 10 + (t[i] - '0');
  for (int i = 21; i < STAMP; i++) number = number * 10 + (t[i] - '0');
}
static void write_stamp(char *stamp, char *text, uint64_t due, uint64_t number) {
  char b[STAMP + 1];
  snprintf(b, sizeof b, "T%019lluS%010llu", (unsigned long long)due, (unsigned long long)number);
  memcpy(stamp, b, STAMP);
  framelen = build(frame, text, size, binary ? 2 : 1);
}
// In rooms, the number's remainder of three is the process of the sender.
static void on_rooms(conn *c) {
  read_stamp(c);
  count++;
  uint64_t took = now() - sent_at;
  if ((int)(number % 3) == process_of(c - cs)) addlat(took);
  else if (nlat2 < caplat) lat2[nlat2++] = took;
}
static void on_stamped(conn *c) {
  read_stamp(c);
  if (number < c->got) { disorder++; return; }
  if (number > c->got && number > first) lost += number - (c->got > first ? c->got : first);
  c->got = number + 1;
  if (number < first) return;
  count++;
  uint64_t took = now() - sent_at;
  if (port2 && (c - cs) & 1) { if (nlat2 < caplat) lat2[nlat2++] = took; }
  else { classes[class_of(took)]++; addlat(took); }
}
static void on_message(conn *c) {
  if (!strcmp(mode, "room")) { on_stamped(c); return; }
  if (!strcmp(mode, "rooms")) { on_rooms(c); return; }
  c->got++;
  if (!strcmp(mode, "echo")) {
    if (c->q_len) { addlat(now() - c->t_sent[c->q_head & (QUEUE - 1)]); c->q_head++; c->q_len--; }
    if (measuring) count++;
    send_one(c);
  } else if (!strcmp(mode, "paced")) {
    if (c->q_len) { addlat(now() - c->t_sent[c->q_head & (QUEUE - 1)]); c->q_head++; c->q_len--; }
    if (measuring) count++;
  } else if (!strcmp(mode, "fanout")) {
    round_got++;
    if (measuring) count++;
  }
}
static void begin(void) { measuring = 1; t_start = now(); puts("MEASURING"); fflush(stdout); }
static void report(const char *unit, double elapsed) {
  qsort(lat, nlat, sizeof *lat, cmp);
  struct rusage r; getrusage(RUSAGE_SELF, &r);
  printf("{\"mode\":\"%s\",\"conns\":%d,\"size\":%d,\"%s_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"closed\":%d,\"overrun\":%llu,\"count\":%llu,\"client_cpu_s\":%.2f,\"secs\":%.2f}\n", mode, nconns, size, unit,
    count / elapsed, nlat ? lat[nlat / 2] / 1e3 : 0, nlat ? lat[(size_t)(nlat * .99)] / 1e3 : 0, nlat ? lat[(size_t)(nlat * .999)] / 1e3 : 0, nlat ? lat[nlat - 1] / 1e3 : 0, nclosed,
    (unsigned long long)overrun, (unsigned long long)count,
    r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6, elapsed);
}
#define AT(a, n, q) (n ? a[(size_t)(n * q)] / 1e3 : 0)
// The next line of the input, while connections are answered meanwhile; 0 at its end.
static int next_line(char *line, int length) {
  for (;;) {
    struct pollfd two[2] = {{.fd = 0, .events = POLLIN}, {.fd = ep, .events = POLLIN}};
    poll(two, 2, -1);
    if (two[1].revents) pump(0);
    if (two[0].revents) return fgets(line, length, stdin) != NULL;
  }
}
static void play_rooms(char *text, char *stamp) {
  static uint64_t dice;
  uint64_t begun = now(), end = begun + secs * 1e9, sent = 0, t, members = nconns / ntopics;
  count = nlat = nlat2 = 0;
  begin();
  while ((t = now()) < end) {
    for (uint64_t due; rate > 0 && (due = begun + (uint64_t)(sent * 1e9 / rate)) <= t; sent++) {
      int i = chance(dice) % ntopics + chance(dice + 1) % members * ntopics;
      dice += 2;
      write_stamp(stamp, text, due, sent * 3 + process_of(i));
      wr(&cs[i], frame, framelen);
    }
    uint64_t next = rate > 0 ? begun + (uint64_t)(sent * 1e9 / rate) : end;
    pump_until(next < end ? next : end);
  }
  uint64_t patience = now() + 10e9;
  while (count < sent * members && now() < patience && !nclosed) pump(10);
  qsort(lat, nlat, sizeof *lat, cmp); qsort(lat2, nlat2, sizeof *lat2, cmp);
  printf("{\"sent\":%llu,\"count\":%llu,\"lost\":%lld,\"closed\":%d,\"local_p50_us\":%.1f,\"local_p99_us\":%.1f,\"remote_p50_us\":%.1f,\"remote_p99_us\":%.1f,\"secs\":%.3f}\n",
    (unsigned long long)sent, (unsigned long long)count, (long long)(sent * members - count), nclosed, AT(lat, nlat, .5), AT(lat, nlat, .99), AT(lat2, nlat2, .5), AT(lat2, nlat2, .99), (now() - t_start) / 1e9);
  fflush(stdout);
}
int main(int argc, char **argv) {
  if (argc < 2) { fprintf(stderr, "usage: wsload echo|paced|fanout|room|rooms|idle|connect [--rate R --port N --port2 N --port3 N --path P --conns N --size N --secs S --pipeline N --hello T --msg T --match PREFIX --ready MARK --proto P --cookie C --origin O --others --window N --binary --topics N]\n"); return 2; }
  mode = argv[1];
  for (int i = 2; i < argc; i++) {
    char *a = argv[i];
#define S(n, v) else if (!strcmp(a, n)) v = argv[++i]
#define I(n, v) else if (!strcmp(a, n)) v = atoi(argv[++i])
    if (0);
    S("--path", path); S("--host", host); S("--proto", proto); S("--cookie", cookie); S("--msg", msg); S("--match", match); S("--ready", readymark); S("--origin", origin);
    else if (!strcmp(a, "--histogram")) histogram = 1;
    I("--port", port); I("--port2", port2); I("--port3", port3); I("--conns", nconns); I("--size", size); I("--pipeline", pipeline); I("--window", window); I("--topics", ntopics); I("--opening", max_opening);
    else if (!strcmp(a, "--secs")) secs = atof(argv[++i]);
    else if (!strcmp(a, "--rate")) rate = atof(argv[++i]);
    else if (!strcmp(a, "--warm")) warm = atof(argv[++i]);
    else if (!strcmp(a, "--hello")) hello[nhello++] = argv[++i];
    else if (!strcmp(a, "--others")) others = 1;
    else if (!strcmp(a, "--binary")) binary = 1;
    else { fprintf(stderr, "wsload: unknown %s\n", a); return 2; }
  }
  if (strncmp(host, "127.", 4)) { fprintf(stderr, "wsload: loopback only\n"); return 2; }
  struct rlimit rl = {1048576, 1048576}; if (setrlimit(RLIMIT_NOFILE, &rl)) { getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl); }
  ep = epoll_create1(0);
  cs = calloc(nconns, sizeof *cs);
  lat = malloc(caplat * sizeof *lat);
  char *text;
  if (msg) { text = strdup(msg); size = strlen(msg); }
  else { // a JSON string of exactly size bytes
    text = malloc(size + 1); memset(text, 'x', size); text[size] = 0; if (size >= 2) { text[0] = '"'; text[size - 1] = '"'; } }
  frame = malloc(size + 16); framelen = build(frame, text, size, binary ? 2 : 1);
  uint64_t t0 = now();
  if (!strcmp(mode, "connect")) {
    uint64_t done = 0, end = t0 + secs * 1e9;
    puts("MEASURING"); fflush(stdout);
    int live = nconns < 64 ? nconns : 64;
    for (int i = 0; i < live; i++) open_conn(&cs[i], i);
    while (now() < end) {
      pump(10);
      for (int i = 0; i < live; i++) if (cs[i].state == 2 && cs[i].ready) {
        struct linger lg = {1, 0}; setsockopt(cs[i].fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
        close(cs[i].fd); done++; open_conn(&cs[i], i);
      } else if (cs[i].state == 3) open_conn(&cs[i], i);
    }
    printf("{\"mode\":\"connect\",\"count\":%llu,\"handshakes_per_s\":%.0f,\"closed\":%d}\n", (unsigned long long)done, done / secs, nclosed);
    return 0;
  }
  int started = 0;
  while (nready < nconns) {
    while (started < nconns && started - nopen - nclosed < max_opening) { open_conn(&cs[started], started); started++; }
    pump(100);
    if (nclosed) { fprintf(stderr, "wsload: %d connections closed while opening\n", nclosed); return 3; }
    if (now() - t0 > 120e9) { fprintf(stderr, "wsload: only %d of %d ready after 120 s\n", nready, nconns); return 3; }
  }
  double open_s = (now() - t0) / 1e9;
  if (!strcmp(mode, "idle")) {
    printf("READY conns=%d open_s=%.2f\n", nready, open_s); fflush(stdout);
    uint64_t end = now() + secs * 1e9;
    while (now() < end) pump(100);
    printf("{\"mode\":\"idle\",\"conns\":%d,\"open_s\":%.2f,\"closed\":%d}\n", nconns, open_s, nclosed);
    return nclosed != 0;
  }
  if (port2) { uint64_t settled = now() + 1e9; while (now() < settled) pump(10); }   // subscriptions are on their way
  if (!strcmp(mode, "echo")) {
    for (int i = 0; i < nconns; i++) for (int k = 0; k < pipeline; k++) send_one(&cs[i]);
    uint64_t w = now() + warm * 1e9; while (now() < w) pump(10);
    begin(); uint64_t end = t_start + secs * 1e9;
    while (now() < end) pump(10);
    report("msgs", (now() - t_start) / 1e9);
  } else if (!strcmp(mode, "paced")) {
    uint64_t begun = now(), w = begun + warm * 1e9, end = w + secs * 1e9, sent = 0, t;
    while ((t = now()) < end) {
      if (!measuring && t >= w) begin();
      for (uint64_t due; (due = begun + (uint64_t)(sent * 1e9 / rate)) <= t; sent++) send_due(&cs[sent % nconns], due);
      pump(0);
    }
    report("msgs", (now() - t_start) / 1e9);
  } else if (!strcmp(mode, "fanout")) {
    round_need = (uint64_t)window * (nconns - others);
    uint64_t w = now() + warm * 1e9, end = w + secs * 1e9;
    int stalled = 0;
    t_start = 0;
    for (;;) {
      uint64_t t = now();
      if (!measuring && t >= w) begin();
      if (t >= end) break;
      round_got = 0; t_round = t;
      for (int k = 0; k < window; k++) wr(&cs[0], frame, framelen);
      while (round_got < round_need) {
        pump(100);
        if (now() - t_round > 30e9) { stalled = 1; break; }
      }
      if (stalled) { fprintf(stderr, "wsload: stalled at %llu of %llu\n", (unsigned long long)round_got, (unsigned long long)round_need); break; }
      addlat(now() - t_round); rounds++;
    }
    report("deliveries", (now() - t_start) / 1e9);
    for (int i = 0; i < nconns; i++) if (!(others && !i) && cs[i].got != cs[nconns - 1].got) { fprintf(stderr, "wsload: connection %d got %llu messages, and the last one %llu\n", i, (unsigned long long)cs[i].got, (unsigned long long)cs[nconns - 1].got); return 4; }
    if (stalled) return 4;
  } else if (!strcmp(mode, "room") || !strcmp(mode, "rooms")) {
    char *stamp = strstr(text, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    if (!stamp) { fprintf(stderr, "wsload: no run of %d x for the stamp\n", STAMP); return 2; }
    lat2 = malloc(caplat * sizeof *lat2);
    if (!strcmp(mode, "rooms")) {
      long places = 0;
      for (int room = 0; room < ntopics; room++) {
        int seen = 0;
        for (int i = room; i < nconns; i += ntopics) seen |= 1 << process_of(i);
        places += __builtin_popcount(seen);
      }
      char line[64];
      printf("READY %.4f\n", (double)places / ntopics); fflush(stdout);
      while (next_line(line, sizeof line)) if (sscanf(line, "%lf %lf", &rate, &secs) == 2) play_rooms(text, stamp);
      return 0;
    }
    uint64_t begun = now(), w = begun + warm * 1e9, end = w + secs * 1e9, sent = 0, t, late = 0;
    struct rusage before, after;
    unsigned long long delayed = 0;
    while ((t = now()) < end) {
      if (!measuring && t >= w) { first = sent; delayed = run_delay(); getrusage(RUSAGE_SELF, &before); begin(); }
      int waiting = 0;
      for (uint64_t due; (due = begun + (uint64_t)(sent * 1e9 / rate)) <= t; sent++) {
        ioctl(cs[0].fd, SIOCOUTQ, &waiting);
        if (waiting > 65536) break;   // the server does not keep up: later, and counted from when it was due
        write_stamp(stamp, text, due, sent);
        wr(&cs[0], frame, framelen);
        if (measuring && t - due > late) late = t - due;
      }
      uint64_t next = begun + (uint64_t)(sent * 1e9 / rate);
      pump_until(next < end ? next : end);
    }
    delayed = run_delay() - delayed;
    getrusage(RUSAGE_SELF, &after);
    uint64_t need = (sent - first) * nconns, patience = now() + 10e9;
    while (count < need && now() < patience && !nclosed) pump(10);
    for (int i = 0; i < nconns; i++) if (cs[i].got < sent) lost += sent - (cs[i].got > first ? cs[i].got : first);
    double elapsed = (now() - t_start) / 1e9;
    qsort(lat, nlat, sizeof *lat, cmp); qsort(lat2, nlat2, sizeof *lat2, cmp);
    printf("{\"mode\":\"room\",\"conns\":%d,\"sent\":%llu,\"count\":%llu,\"lost\":%llu,\"disorder\":%llu,\"closed\":%d,\"local_p50_us\":%.1f,\"local_p99_us\":%.1f,\"local_p999_us\":%.1f,\"local_max_us\":%.1f,\"remote_p50_us\":%.1f,\"remote_p99_us\":%.1f,\"secs\":%.3f",
      nconns, (unsigned long long)(sent - first), (unsigned long long)count, (unsigned long long)lost, (unsigned long long)disorder, nclosed,
      AT(lat, nlat, .5), AT(lat, nlat, .99), AT(lat, nlat, .999), AT(lat, nlat, .9999999), AT(lat2, nlat2, .5), AT(lat2, nlat2, .99), elapsed);
    if (histogram) {
      printf(",\"late_max_us\":%.1f,\"run_delay_ms\":%.3f,\"preempted\":%ld,\"woken\":%ld,\"cpu_s\":%.3f,\"histogram\":[", late / 1e3, delayed / 1e6, after.ru_nivcsw - before.ru_nivcsw, after.ru_nvcsw - before.ru_nvcsw, cpu_of(&after) - cpu_of(&before));
      for (int i = 0, some = 0; i < CLASSES; i++) if (classes[i]) printf("%s[%.3f,%llu]", some++ ? "," : "", class_us(i), (unsigned long long)classes[i]);
      printf("]");
    }
    puts("}");
  }
  return 0;
}
