/* The optional accelerator: the functions of the hot path that take longest in Python.
 *
 * Each has a reference in Python that does the same, and is used where this file was not compiled. odac/speedups.py
 * lists them and installs them. The same tests run over both.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#include <sys/socket.h>
#include <time.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif

static PyObject *fd_name;

/* out = data ^ mask, with the mask repeated; returns whether a byte of the result is not ASCII */
static int xor_mask(uint8_t *out, const uint8_t *data, Py_ssize_t size, const uint8_t *mask) {
    uint64_t wide, part, high = 0;
    Py_ssize_t i = 0;
    memcpy(&wide, mask, 4);
    memcpy((uint8_t *)&wide + 4, mask, 4);
    for (; i + 8 <= size; i += 8) {
        memcpy(&part, data + i, 8);
        part ^= wide;
        high |= part;
        memcpy(out + i, &part, 8);
    }
    for (; i < size; i++) high |= out[i] = data[i] ^ mask[i & 3];
    return (high & 0x8080808080808080u) != 0;
}

/* apply_mask(data, mask): see odac/wire/mask.py */
static PyObject *apply_mask(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_buffer data, mask;
    PyObject *result = NULL;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "apply_mask(data: bytes-like, mask: bytes-like)");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &data, PyBUF_SIMPLE) < 0) return NULL;
    if (PyObject_GetBuffer(args[1], &mask, PyBUF_SIMPLE) < 0) {
        PyBuffer_Release(&data);
        return NULL;
    }
    if (mask.len != 4)
        PyErr_SetString(PyExc_ValueError, "mask must contain 4 bytes");
    else if ((result = PyBytes_FromStringAndSize(NULL, data.len)) != NULL)
        xor_mask((uint8_t *)PyBytes_AS_STRING(result), data.buf, data.len, mask.buf);
    PyBuffer_Release(&mask);
    PyBuffer_Release(&data);
    return result;
}

enum { WHOLE_TEXT = 0x81, WHOLE_BINARY = 0x82 }; /* the first byte of a message's only frame */

/* The payload if the data is exactly one frame that begins with this byte. Else NULL, without an exception; NULL with
 * an exception for an error. */
static PyObject *whole_of(PyObject *bytes, uint8_t first, long limit) {
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(bytes);
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    if (size < 6 || data[0] != first) return NULL;
    Py_ssize_t start = data[1] == 0xFE ? 8 : 6, length = size - start;
    if (length > limit) return NULL;
    if (start == 6 ? length > 125 || data[1] != 0x80 + length : length < 126 || (data[2] << 8 | data[3]) != length)
        return NULL;
    PyObject *payload = PyBytes_FromStringAndSize(NULL, length);
    /* not ASCII: the parser has to check that it is UTF-8 */
    if (payload != NULL && xor_mask((uint8_t *)PyBytes_AS_STRING(payload), data + start, length, data + start - 4) &&
        first == WHOLE_TEXT)
        Py_CLEAR(payload);
    return payload;
}

/* whole_text(data, limit): see odac/wire/parser.py */
static PyObject *whole_text(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyBytes_CheckExact(args[0]) || !PyLong_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "whole_text(data: bytes, limit: int)");
        return NULL;
    }
    long limit = PyLong_AsLong(args[1]);
    if (limit == -1 && PyErr_Occurred()) return NULL;
    PyObject *payload = whole_of(args[0], WHOLE_TEXT, limit);
    if (payload == NULL && !PyErr_Occurred()) Py_RETURN_NONE;
    return payload;
}

/* The number of bytes that send() accepted: 0 if the socket is full; all if the peer is gone, which the transport
 * detects by itself. */
static Py_ssize_t send_bytes(int fd, const char *data, Py_ssize_t size) {
    ssize_t sent;
    do sent = send(fd, data, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) return sent;
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : size;
}

/* write(fd, data): see odac/realtime/writing.py */
static PyObject *write_(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyLong_CheckExact(args[0]) || !PyBytes_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "write(fd: int, data: bytes)");
        return NULL;
    }
    return PyLong_FromSsize_t(
        send_bytes((int)PyLong_AsLong(args[0]), PyBytes_AS_STRING(args[1]), PyBytes_GET_SIZE(args[1])));
}

/* write_to_all(members, data): see odac/realtime/writing.py */
static PyObject *write_to_all(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyBytes_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "write_to_all(members: Iterable, data: bytes)");
        return NULL;
    }
    PyObject *members = PySequence_List(args[0]), *rest = PyList_New(0);
    const char *data = PyBytes_AS_STRING(args[1]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[1]), number = members == NULL ? 0 : PyList_GET_SIZE(members);
    Py_ssize_t *state = PyMem_Malloc((size_t)(number + 1) * sizeof *state); /* the fd, then the bytes sent; -1: no fd */
    if (members == NULL || rest == NULL || state == NULL) goto failed;
    for (Py_ssize_t i = 0; i < number; i++) {
        PyObject *fd = PyObject_GetAttr(PyList_GET_ITEM(members, i), fd_name);
        if (fd == NULL) goto failed;
        state[i] = PyLong_AsLong(fd);
        Py_DECREF(fd);
        if (state[i] == -1 && PyErr_Occurred()) goto failed;
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < number; i++)
        if (state[i] >= 0) state[i] = send_bytes((int)state[i], data, size);
    Py_END_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < number; i++) {
        if (state[i] == size) continue;
        PyObject *pair = Py_BuildValue("(On)", PyList_GET_ITEM(members, i), state[i]);
        if (pair == NULL || PyList_Append(rest, pair) < 0) {
            Py_XDECREF(pair);
            goto failed;
        }
        Py_DECREF(pair);
    }
    PyMem_Free(state);
    Py_DECREF(members);
    return rest;
failed:
    PyMem_Free(state);
    Py_XDECREF(members);
    Py_XDECREF(rest);
    return state == NULL && !PyErr_Occurred() ? PyErr_NoMemory() : NULL;
}

/* The grammar of a request's head: RFC 9110 section 5.6.2 (tokens), RFC 3986 section 3.2.2 (hosts), as in
 * handshake.py. */
enum { TOKEN = 1, PRINTABLE = 2, VISIBLE = 4, BASE64 = 8, HOST = 16, ADDRESS = 32, DIGIT = 64 };
static uint8_t kinds[256];

static void fill(const char *characters, uint8_t kind) {
    for (; *characters; characters++) kinds[(uint8_t)*characters] |= kind;
}

static void fill_kinds(void) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int c = 0x20; c < 0x7F; c++) kinds[c] |= PRINTABLE | (c > 0x20 ? VISIBLE : 0);
    kinds['\t'] |= PRINTABLE;
    fill("0123456789", TOKEN | BASE64 | HOST | ADDRESS | DIGIT);
    fill(letters, TOKEN | BASE64 | HOST);
    fill("!#$%&'*+-.^_`|~", TOKEN);
    fill("+/", BASE64);
    fill("._~%!$&'()*+;=-", HOST);
    fill("ABCDEFabcdef:.", ADDRESS);
}

static Py_ssize_t span(const uint8_t *at, Py_ssize_t size, uint8_t kind) {
    Py_ssize_t i = 0;
    while (i < size && kinds[at[i]] & kind) i++;
    return i;
}

static int is_host(const uint8_t *at, Py_ssize_t size) {
    Py_ssize_t name;
    if (size > 0 && *at == '[') {
        name = span(at + 1, size - 1, ADDRESS) + 2;
        if (name < 3 || name > size || at[name - 1] != ']') return 0;
    } else if ((name = span(at, size, HOST)) == 0)
        return 0;
    if (name == size) return 1;
    Py_ssize_t port = size - name - 1;
    return at[name] == ':' && port <= 5 && span(at + name + 1, port, DIGIT) == port;
}

static int equals(const uint8_t *at, Py_ssize_t size, const char *text) {
    return (size_t)size == strlen(text) && memcmp(at, text, size) == 0;
}

enum { NEEDED = 5, MOST_USUAL = 32 };

/* The header names of most handshakes, as shared objects. */
enum { KNOWN = 14 };
static PyObject *known_names[KNOWN];
static const char *const known_texts[KNOWN] = {"host", "upgrade", "connection", "sec-websocket-key",
    "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions", "origin", "cookie", "user-agent",
    "accept-encoding", "accept-language", "cache-control", "pragma"};

static PyObject *name_object(const uint8_t *name, Py_ssize_t length) {
    for (int i = 0; i < KNOWN; i++)
        if (PyBytes_GET_SIZE(known_names[i]) == length && memcmp(PyBytes_AS_STRING(known_names[i]), name, length) == 0)
            return Py_NewRef(known_names[i]);
    return PyBytes_FromStringAndSize((const char *)name, length);
}

/* A pair of two new references, which may be NULL. */
static PyObject *pair_of(PyObject *first, PyObject *second) {
    PyObject *pair = first == NULL || second == NULL ? NULL : PyTuple_New(2);
    if (pair == NULL) {
        Py_XDECREF(first);
        Py_XDECREF(second);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, first);
    PyTuple_SET_ITEM(pair, 1, second);
    return pair;
}

/* Whether a header field is allowed in a usual handshake; *found counts the required ones. */
static int is_usual(const uint8_t *name, Py_ssize_t length, const uint8_t *value, Py_ssize_t size, int *found,
        Py_ssize_t most) {
    if (equals(name, length, "host")) return ++*found, is_host(value, size);
    if (equals(name, length, "upgrade")) return ++*found, equals(value, size, "websocket");
    if (equals(name, length, "connection"))
        return ++*found, equals(value, size, "Upgrade") || equals(value, size, "upgrade") ||
            equals(value, size, "keep-alive, Upgrade");
    if (equals(name, length, "sec-websocket-version")) return ++*found, equals(value, size, "13");
    if (equals(name, length, "sec-websocket-key"))
        return ++*found, size == 24 && span(value, 22, BASE64) == 22 && value[22] == '=' && value[23] == '=';
    if (equals(name, length, "sec-websocket-protocol") || equals(name, length, "sec-websocket-extensions")) {
        Py_ssize_t commas = 0;
        for (Py_ssize_t i = 0; i < size; i++) commas += value[i] == ',';
        return commas < most;
    }
    return !equals(name, length, "content-length") && !equals(name, length, "transfer-encoding");
}

/* usual_request(data, max_headers, max_header_bytes, max_list): see odac/wire/request.py */
static PyObject *usual_request(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_ssize_t bounds[3];
    if (count != 4 || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError,
            "usual_request(data: bytes, max_headers: int, max_header_bytes: int, max_list: int)");
        return NULL;
    }
    for (int i = 0; i < 3; i++)
        if ((bounds[i] = PyLong_AsSsize_t(args[i + 1])) == -1 && PyErr_Occurred()) return NULL;
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]), at = 4, target, start;
    if (size < 16 || memcmp(data, "GET ", 4) != 0) Py_RETURN_NONE;
    target = span(data + at, size - at, VISIBLE);
    at += target;
    if (target == 0 || size - at < 11 || memcmp(data + at, " HTTP/1.1\r\n", 11) != 0 || at + 9 > bounds[1])
        Py_RETURN_NONE;
    start = at += 11;
    int found = 0;
    Py_ssize_t key = 0;
    PyObject *headers = PyList_New(0);
    if (headers == NULL) return NULL;
    while (size - at >= 2 && !(data[at] == '\r' && data[at + 1] == '\n')) {
        uint8_t name[64];
        Py_ssize_t length = span(data + at, size - at, TOKEN), value = at + length + 1, stop, next;
        if (length == 0 || length > 64 || value > size || data[value - 1] != ':' ||
            PyList_GET_SIZE(headers) >= MOST_USUAL)
            goto other;
        for (Py_ssize_t i = 0; i < length; i++)
            name[i] = data[at + i] | (data[at + i] >= 'A' && data[at + i] <= 'Z' ? 0x20 : 0);
        stop = value + span(data + value, size - value, PRINTABLE);
        if (size - stop < 2 || data[stop] != '\r' || data[stop + 1] != '\n') goto other;
        next = stop + 2;
        while (value < stop && (data[value] == ' ' || data[value] == '\t')) value++;
        while (value < stop && (data[stop - 1] == ' ' || data[stop - 1] == '\t')) stop--;
        if (!is_usual(name, length, data + value, stop - value, &found, bounds[2])) goto other;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
            PyObject *before = PyTuple_GET_ITEM(PyList_GET_ITEM(headers, i), 0);
            if (PyBytes_GET_SIZE(before) == length && memcmp(PyBytes_AS_STRING(before), name, length) == 0) goto other;
        }
        if (equals(name, length, "sec-websocket-key")) key = value;
        PyObject *field = pair_of(
            name_object(name, length), PyBytes_FromStringAndSize((const char *)data + value, stop - value));
        if (field == NULL || PyList_Append(headers, field) < 0) {
            Py_XDECREF(field);
            Py_DECREF(headers);
            return NULL;
        }
        Py_DECREF(field);
        at = next;
    }
    if (size - at < 2 || found != NEEDED || at - start > bounds[1] || PyList_GET_SIZE(headers) > bounds[0]) goto other;
    return Py_BuildValue("(y#Ny#n)", (char *)data + 4, target, headers, (char *)data + key, (Py_ssize_t)24, at + 2);
other:
    Py_DECREF(headers);
    Py_RETURN_NONE;
}

/* SHA-1 (RFC 3174) of at most 119 bytes: two blocks. RFC 6455 section 4.2.2 requires it for the answer. */
static void sha1(const uint8_t *data, size_t size, uint8_t digest[20]) {
    uint8_t blocks[128] = {0};
    size_t end = size < 56 ? 64 : 128;
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}, w[80];
    memcpy(blocks, data, size);
    blocks[size] = 0x80;
    blocks[end - 2] = (uint8_t)(size >> 5);
    blocks[end - 1] = (uint8_t)(size << 3);
#define ROTATED(x, n) ((x) << (n) | (x) >> (32 - (n)))
    for (const uint8_t *at = blocks; at < blocks + end; at += 64) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)at[4 * i] << 24 | (uint32_t)at[4 * i + 1] << 16 | (uint32_t)at[4 * i + 2] << 8 |
                at[4 * i + 3];
        for (int i = 16; i < 80; i++) w[i] = ROTATED(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
#define ROUNDS(from, to, mixed, constant) \
    for (int i = from; i < to; i++) { \
        uint32_t next = ROTATED(a, 5) + (mixed) + e + constant + w[i]; \
        e = d, d = c, c = ROTATED(b, 30), b = a, a = next; \
    }
        ROUNDS(0, 20, (b & c) | (~b & d), 0x5A827999)
        ROUNDS(20, 40, b ^ c ^ d, 0x6ED9EBA1)
        ROUNDS(40, 60, (b & c) | (b & d) | (c & d), 0x8F1BBCDC)
        ROUNDS(60, 80, b ^ c ^ d, 0xCA62C1D6)
#undef ROUNDS
        state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
    }
#undef ROTATED
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

enum { KEY_SIZE = 24, ACCEPT_SIZE = 28 };

/* usual_response(key, speaks_odac): see odac/wire/handshake.py */
static PyObject *usual_response(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    static const char begin[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static const char protocol[] = "\r\nSec-WebSocket-Protocol: odac.v1", end[] = "\r\n\r\n";
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (count != 2 || !PyBytes_CheckExact(args[0]) || PyBytes_GET_SIZE(args[0]) != KEY_SIZE || !PyBool_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "usual_response(key: 24 bytes, speaks_odac: bool)");
        return NULL;
    }
    uint8_t text[KEY_SIZE + sizeof guid - 1], digest[21] = {0};
    memcpy(text, PyBytes_AS_STRING(args[0]), KEY_SIZE);
    memcpy(text + KEY_SIZE, guid, sizeof guid - 1);
    sha1(text, sizeof text, digest);
    size_t speaks_odac = args[1] == Py_True ? sizeof protocol - 1 : 0;
    PyObject *response =
        PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(sizeof begin - 1 + ACCEPT_SIZE + speaks_odac + sizeof end - 1));
    if (response == NULL) return NULL;
    char *at = PyBytes_AS_STRING(response);
    memcpy(at, begin, sizeof begin - 1);
    at += sizeof begin - 1;
    for (int i = 0; i < 21; i += 3) { /* the 21st byte is no part of the digest: padding replaces it */
        uint32_t three = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | digest[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) *at++ = base64[three >> shift & 63];
    }
    at[-1] = '=';
    memcpy(at, protocol, speaks_odac);
    memcpy(at + speaks_odac, end, sizeof end - 1);
    return response;
}

/* base64url(data) and from_base64url(text): see odac/security/base64url.py */
static const char base64url_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static uint8_t base64url_values[256]; /* 64 for all other characters */

static void fill_base64url(void) {
    memset(base64url_values, 64, sizeof base64url_values);
    for (uint8_t i = 0; i < 64; i++) base64url_values[(uint8_t)base64url_characters[i]] = i;
}

static PyObject *base64url(PyObject *module, PyObject *data) {
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "base64url(data: bytes)");
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(data), rest = size % 3;
    if (size > PY_SSIZE_T_MAX / 2) return PyErr_NoMemory();
    PyObject *text = PyBytes_FromStringAndSize(NULL, size / 3 * 4 + (rest ? rest + 1 : 0));
    if (text == NULL) return NULL;
    const uint8_t *in = (const uint8_t *)PyBytes_AS_STRING(data), *last = in + size - rest;
    char *at = PyBytes_AS_STRING(text);
    for (; in < last; in += 3) {
        uint32_t three = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        for (int shift = 18; shift >= 0; shift -= 6) *at++ = base64url_characters[three >> shift & 63];
    }
    if (rest) {
        uint32_t two = (uint32_t)in[0] << 16 | (rest == 2 ? (uint32_t)in[1] << 8 : 0);
        for (int i = 0; i <= rest; i++) *at++ = base64url_characters[two >> (18 - 6 * i) & 63];
    }
    return text;
}

static PyObject *from_base64url(PyObject *module, PyObject *text) {
    Py_ssize_t size;
    const char *in;
    if (PyBytes_CheckExact(text)) {
        in = PyBytes_AS_STRING(text);
        size = PyBytes_GET_SIZE(text);
    } else if (PyUnicode_Check(text)) {
        if ((in = PyUnicode_AsUTF8AndSize(text, &size)) == NULL) return NULL;
    } else {
        PyErr_SetString(PyExc_TypeError, "from_base64url(text: bytes | str)");
        return NULL;
    }
    Py_ssize_t rest = size % 4;
    PyObject *data = rest == 1 ? NULL : PyBytes_FromStringAndSize(NULL, size / 4 * 3 + (rest ? rest - 1 : 0));
    if (data == NULL) goto malformed;
    uint8_t *at = (uint8_t *)PyBytes_AS_STRING(data);
    for (Py_ssize_t i = 0; i < size; i += 4) {
        int count = size - i < 4 ? (int)rest : 4;
        uint32_t four = 0;
        for (int k = 0; k < 4; k++) {
            uint8_t value = k < count ? base64url_values[(uint8_t)in[i + k]] : 0;
            if (value == 64) goto malformed;
            four = four << 6 | value;
        }
        for (int k = 1; k < count; k++) *at++ = (uint8_t)(four >> (24 - 8 * k));
    }
    return data;
malformed:
    Py_XDECREF(data);
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "the text is not base64url");
    return NULL;
}

enum { MOST_OFFERED = 8 };

/* usual_offer(headers): see odac/wire/handshake.py */
static PyObject *usual_offer(PyObject *module, PyObject *headers) {
    if (!PyList_CheckExact(headers)) Py_RETURN_NONE;
    PyObject *offer = NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *header = PyList_GET_ITEM(headers, i);
        if (!PyTuple_CheckExact(header) || PyTuple_GET_SIZE(header) != 2) Py_RETURN_NONE;
        PyObject *name = PyTuple_GET_ITEM(header, 0), *value = PyTuple_GET_ITEM(header, 1);
        if (!PyBytes_CheckExact(name) || !PyBytes_CheckExact(value)) Py_RETURN_NONE;
        if (!equals((const uint8_t *)PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), "sec-websocket-protocol"))
            continue;
        if (offer != NULL) Py_RETURN_NONE;
        offer = value;
    }
    PyObject *tokens = PyList_New(0);
    if (tokens == NULL || offer == NULL) return tokens;
    Py_INCREF(offer);
    const uint8_t *in = (const uint8_t *)PyBytes_AS_STRING(offer);
    Py_ssize_t size = PyBytes_GET_SIZE(offer), at = 0;
    int unusual = 0;
    for (int count = 0; !unusual; count++) {
        Py_ssize_t length = span(in + at, size - at, TOKEN);
        if (length == 0 || count >= MOST_OFFERED) {
            unusual = 1;
            break;
        }
        PyObject *token = PyUnicode_DecodeLatin1((const char *)in + at, length, NULL);
        int known = token == NULL ? -1 : PySequence_Contains(tokens, token);
        if (known == 0) known = PyList_Append(tokens, token);
        Py_XDECREF(token);
        if (known < 0) {
            Py_DECREF(offer);
            Py_DECREF(tokens);
            return NULL;
        }
        at += length;
        if (at == size) break;
        if (in[at++] != ',') unusual = 1;
        if (at < size && in[at] == ' ') at++;
    }
    Py_DECREF(offer);
    if (!unusual) return tokens;
    Py_DECREF(tokens);
    Py_RETURN_NONE;
}

static void trim(const uint8_t *in, Py_ssize_t *begin, Py_ssize_t *end) {
    while (*begin < *end && (in[*begin] == ' ' || in[*begin] == '\t')) ++*begin;
    while (*begin < *end && (in[*end - 1] == ' ' || in[*end - 1] == '\t')) --*end;
}

/* usual_cookies(header, cookies): see odac/request.py */
static PyObject *usual_cookies(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyDict_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "usual_cookies(header: bytes, cookies: dict)");
        return NULL;
    }
    if (!PyBytes_CheckExact(args[0])) Py_RETURN_FALSE;
    const uint8_t *in = (const uint8_t *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    for (Py_ssize_t at = 0; at <= size;) {
        const uint8_t *semicolon = memchr(in + at, ';', (size_t)(size - at));
        Py_ssize_t end = semicolon == NULL ? size : semicolon - in, begin = at;
        const uint8_t *equals = memchr(in + at, '=', (size_t)(end - at));
        at = end + 1;
        if (equals == NULL) Py_RETURN_FALSE;
        Py_ssize_t name_end = equals - in, value = name_end + 1;
        trim(in, &begin, &name_end);
        trim(in, &value, &end);
        if (end - value > 1 && in[value] == '"' && in[end - 1] == '"') Py_RETURN_FALSE;
        if (begin == name_end && value == end) continue;
        PyObject *name = PyUnicode_DecodeLatin1((const char *)in + begin, name_end - begin, NULL);
        PyObject *text = PyUnicode_DecodeLatin1((const char *)in + value, end - value, NULL);
        int failed = name == NULL || text == NULL || PyDict_SetItem(args[1], name, text) < 0;
        Py_XDECREF(name);
        Py_XDECREF(text);
        if (failed) return NULL;
    }
    Py_RETURN_TRUE;
}

/* The functions below read and write the slots of Odac's classes directly; bind_…() gets the classes. */

static int find_slot(PyObject *type, const char *name, Py_ssize_t *offset) {
    PyObject *descriptor = PyObject_GetAttrString(type, name);
    if (descriptor == NULL) return -1;
    int found = Py_IS_TYPE(descriptor, &PyMemberDescr_Type) &&
        ((PyMemberDescrObject *)descriptor)->d_member->type == T_OBJECT_EX;
    if (found)
        *offset = ((PyMemberDescrObject *)descriptor)->d_member->offset;
    else
        PyErr_Format(PyExc_TypeError, "%R has no slot %s", type, name);
    Py_DECREF(descriptor);
    return found ? 0 : -1;
}

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))
/* Check the type before reading a slot: a subclass has the slots at the same offsets, another type may not. */
#define IS(object, type) ((object) != NULL && PyObject_TypeCheck((object), (type)))

static void put_slot(PyObject *object, Py_ssize_t offset, PyObject *value) {
    PyObject *before = SLOT(object, offset);
    SLOT(object, offset) = Py_NewRef(value);
    Py_XDECREF(before);
}

/* encode(data): see odac/protocol/codec.py */

static struct {
    PyObject *prepared, *encode_json, *reference, *text, *binary;
    Py_ssize_t opcode, payload, frame, escaped, frames, as_text;
} codec;

/* bind_encode(Prepared, encode_json, reference, TEXT, BINARY) */
static PyObject *bind_encode(PyObject *module, PyObject *args) {
    PyObject *type, *encode_json, *reference, *text, *binary;
    if (!PyArg_ParseTuple(args, "O!OOO!O!", &PyType_Type, &type, &encode_json, &reference, &PyLong_Type, &text,
        &PyLong_Type, &binary))
        return NULL;
    if (find_slot(type, "opcode", &codec.opcode) < 0 || find_slot(type, "payload", &codec.payload) < 0 ||
        find_slot(type, "frame", &codec.frame) < 0 || find_slot(type, "escaped", &codec.escaped) < 0 ||
        find_slot(type, "_frames", &codec.frames) < 0 || find_slot(type, "_text", &codec.as_text) < 0)
        return NULL;
    Py_XSETREF(codec.prepared, Py_NewRef(type));
    Py_XSETREF(codec.encode_json, Py_NewRef(encode_json));
    Py_XSETREF(codec.reference, Py_NewRef(reference));
    Py_XSETREF(codec.text, Py_NewRef(text));
    Py_XSETREF(codec.binary, Py_NewRef(binary));
    Py_RETURN_NONE;
}

static PyObject *encode(PyObject *module, PyObject *data) {
    PyObject *payload = NULL, *opcode = codec.text;
    if (codec.prepared == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "bind_encode() comes first");
        return NULL;
    }
    if (PyUnicode_CheckExact(data))
        payload = PyUnicode_AsUTF8String(data);
    else if (PyBytes_CheckExact(data)) {
        payload = Py_NewRef(data);
        opcode = codec.binary;
    } else if (PyDict_CheckExact(data) || PyList_CheckExact(data) || PyLong_CheckExact(data) ||
        PyFloat_CheckExact(data) ||
               PyTuple_CheckExact(data) || PyBool_Check(data) || data == Py_None)
        payload = PyObject_CallOneArg(codec.encode_json, data);
    if (payload == NULL || !PyBytes_CheckExact(payload)) goto other;
    Py_ssize_t size = PyBytes_GET_SIZE(payload), head = size < 126 ? 2 : 4;
    const char *content = PyBytes_AS_STRING(payload);
    if (size > 0xFFFF || (size > 0 && *content == 0x1E)) goto other;
    PyObject *frame = PyBytes_FromStringAndSize(NULL, head + size), *message = NULL;
    if (frame == NULL ||
            (message = ((PyTypeObject *)codec.prepared)->tp_alloc((PyTypeObject *)codec.prepared, 0)) == NULL) {
        Py_XDECREF(frame);
        Py_DECREF(payload);
        return NULL;
    }
    uint8_t *out = (uint8_t *)PyBytes_AS_STRING(frame);
    out[0] = 0x80 | (uint8_t)PyLong_AsLong(opcode);
    out[1] = head == 2 ? (uint8_t)size : 126;
    if (head == 4) {
        out[2] = (uint8_t)(size >> 8);
        out[3] = (uint8_t)size;
    }
    memcpy(out + head, content, size);
    SLOT(message, codec.opcode) = Py_NewRef(opcode);
    SLOT(message, codec.payload) = payload;
    SLOT(message, codec.frame) = frame;
    SLOT(message, codec.escaped) = Py_NewRef(Py_None);
    SLOT(message, codec.frames) = Py_NewRef(Py_None);
    SLOT(message, codec.as_text) = Py_NewRef(Py_None);
    return message;
other: /* the reference raises the error, and handles every other type */
    Py_XDECREF(payload);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) return NULL;
        PyErr_Clear();
    }
    return PyObject_CallOneArg(codec.reference, data);
}

/* RateMeter(limit): see odac/realtime/rate.py */

/* The kernel's coarse clock is up to one tick behind. A message is recorded with the latest time at which it can have
 * arrived, and compared by the earliest, so that the difference never lets a sender exceed the limit. */
static struct {
    PyObject *monotonic;
    double tick; /* length of a tick of the coarse clock; 0: call monotonic instead */
} rate_clock;

enum { FEW = 8, ENTRIES = 512 }; /* see odac/realtime/rate.py */

typedef struct {
    PyObject_HEAD
    PyObject *limit, *bytes;
    double window, *times;
    Py_ssize_t entries, blocks, step, position, left;
} Meter;

static PyTypeObject *meter_type;

/* bind_clock(monotonic): see odac/speedups.py */
static PyObject *bind_clock(PyObject *module, PyObject *monotonic) {
    double tick = 0;
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec step;
    PyObject *time = PyImport_ImportModule("time"), *own = NULL;
    if (time != NULL) own = PyObject_GetAttrString(time, "monotonic");
    Py_XDECREF(time);
    if (own == NULL) return NULL;
    if (own == monotonic && clock_getres(CLOCK_MONOTONIC_COARSE, &step) == 0)
        tick = (double)step.tv_sec + 1e-9 * (double)step.tv_nsec;
    Py_DECREF(own);
#endif
    Py_XSETREF(rate_clock.monotonic, Py_NewRef(monotonic));
    rate_clock.tick = tick;
    Py_RETURN_NONE;
}

/* The time by the bound clock; negative with an exception set. */
static double exact_time(void) {
    PyObject *now = PyObject_CallNoArgs(rate_clock.monotonic);
    double value = now == NULL ? -1 : PyFloat_AsDouble(now);
    Py_XDECREF(now);
    return value;
}

static PyObject *meter_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    PyObject *limit, *bytes;
    double window;
    Py_ssize_t most;
    if (rate_clock.monotonic == NULL) return PyErr_Format(PyExc_RuntimeError, "bind_clock() comes first");
    if (!PyArg_ParseTuple(args, "OndO", &limit, &most, &window, &bytes)) return NULL;
    if (most < 1) return PyErr_Format(PyExc_ValueError, "a limit is at least 1");
    Meter *meter = (Meter *)type->tp_alloc(type, 0);
    if (meter == NULL) return NULL;
    meter->limit = Py_NewRef(limit);
    meter->bytes = Py_NewRef(bytes);
    meter->window = window;
    meter->step = (most - 1) / ENTRIES + 1;
    meter->blocks = most / meter->step;
    meter->entries = Py_MIN(FEW, meter->blocks);
    if ((meter->times = PyMem_New(double, meter->entries)) == NULL) {
        Py_DECREF(meter);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < meter->entries; i++) meter->times[i] = -Py_HUGE_VAL;
    return (PyObject *)meter;
}

static void meter_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Meter *meter = (Meter *)self;
    PyMem_Free(meter->times);
    Py_XDECREF(meter->limit);
    Py_XDECREF(meter->bytes);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The ring is full of times within the window: double it, up to the limit. 1 if it cannot grow. */
static int meter_grow(Meter *meter) {
    Py_ssize_t more = Py_MIN(meter->entries, meter->blocks - meter->entries), behind = meter->entries - meter->position;
    if (more <= 0) return 1;
    double *times = PyMem_New(double, meter->entries + more);
    if (times == NULL) return 1;
    for (Py_ssize_t i = 0; i < more; i++) times[i] = -Py_HUGE_VAL;
    memcpy(times + more, meter->times + meter->position, (size_t)behind * sizeof *times);
    memcpy(times + more + behind, meter->times, (size_t)meter->position * sizeof *times);
    PyMem_Free(meter->times);
    meter->times = times;
    meter->entries += more;
    meter->position = 0;
    return 0;
}

/* 1 if a message exceeds the limit; 0 if not, and then it is counted; -1 with an exception set. */
static int meter_exceeds(Meter *meter, Py_ssize_t size) {
    double now, noted;
    int exact = 1;
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec at;
    if (rate_clock.tick > 0 && meter->bytes == Py_None && clock_gettime(CLOCK_MONOTONIC_COARSE, &at) == 0) {
        now = (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
        noted = now + rate_clock.tick;
        exact = 0;
    }
#endif
    if (exact && (noted = now = exact_time()) < 0 && PyErr_Occurred()) return -1;
    if (meter->bytes != Py_None) {
        PyObject *exceeded = PyObject_CallMethod(meter->bytes, "is_exceeded", "nd", size, now);
        if (exceeded != Py_False) {
            Py_XDECREF(exceeded);
            return exceeded == NULL ? -1 : 1;
        }
        Py_DECREF(exceeded);
    }
    if (meter->left > 0) {
        meter->left--;
        meter->times[(meter->position > 0 ? meter->position : meter->entries) - 1] = noted;
        return 0;
    }
    if (now - meter->times[meter->position] < meter->window) {
        if (!exact && (noted = now = exact_time()) < 0 && PyErr_Occurred()) return -1;
        if (now - meter->times[meter->position] < meter->window && meter_grow(meter)) return 1;
    }
    meter->times[meter->position++] = noted;
    meter->left = meter->step - 1;
    if (meter->position == meter->entries) {
        Py_ssize_t half = meter->entries / 2;
        meter->position = 0;
        if (meter->entries > FEW && now - meter->times[half - 1] >= meter->window) { /* the last burst is over */
            meter->entries -= half;
            memmove(meter->times, meter->times + half, (size_t)meter->entries * sizeof *meter->times);
            double *times = PyMem_Realloc(meter->times, (size_t)meter->entries * sizeof *times);
            if (times != NULL) meter->times = times;
        }
    }
    return 0;
}

static PyObject *meter_is_exceeded(PyObject *self, PyObject *size) {
    Py_ssize_t number = PyLong_AsSsize_t(size);
    if (number == -1 && PyErr_Occurred()) return NULL;
    int exceeded = meter_exceeds((Meter *)self, number);
    return exceeded < 0 ? NULL : PyBool_FromLong(exceeded);
}

static PyMethodDef meter_methods[] = {{"is_exceeded", meter_is_exceeded, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyMemberDef meter_members[] = {
    {"limit", T_OBJECT_EX, offsetof(Meter, limit), READONLY, NULL},
    {"entries", T_PYSSIZET, offsetof(Meter, entries), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyType_Slot meter_slots[] = {
    {Py_tp_new, meter_new}, {Py_tp_dealloc, meter_dealloc}, {Py_tp_methods, meter_methods},
    {Py_tp_members, meter_members}, {0, NULL},
};
static PyType_Spec meter_spec = {"odac._speedups.RateMeter", sizeof(Meter), 0, Py_TPFLAGS_DEFAULT, meter_slots};

/* DirectLane.data_received(data): see odac/lanes/direct.py */

enum { FREE = 4096 }; /* see odac/realtime/turn_budget.py */

static PyMethodDef receive_method;

static struct {
    PyObject *reference, *put_reference, *decode_text, *decode_json, *sent, *raised, *admitting, *open, *released;
    PyTypeObject *connection_type, *outbox_type, *delivery_type, *parser_type, *inbox_type, *policy_type, *turn_type;
    PyObject *failed, *undecodable, *follow, *uncork, *write_rest, *spend; /* names of methods */
    Py_ssize_t connection, parser, meter, lane_fd, whole_limit;
    Py_ssize_t due, phase, speaks_odac, policy, inbox, outbox, decode, takes_binary, sole_listener;
    Py_ssize_t pending, backlog, delivery, corked, turn, turn_left, context, spare, entries, pending_size;
    long flush_bytes;
} lane;

/* bind_receive(reference, types, values): types and values by the names below; see odac/speedups.py.
 *
 * data_received() handles one whole message for one ready listener, and calls the reference for everything else. */
static PyObject *bind_receive(PyObject *module, PyObject *args) {
    PyObject *reference, *types, *values;
    if (!PyArg_ParseTuple(args, "OO!O!", &reference, &PyDict_Type, &types, &PyDict_Type, &values)) return NULL;
    const struct { const char *name; PyTypeObject **type; } kept[] = {
        {"Connection", &lane.connection_type}, {"Outbox", &lane.outbox_type}, {"Delivery", &lane.delivery_type},
        {"Parser", &lane.parser_type}, {"Inbox", &lane.inbox_type}, {"Policy", &lane.policy_type},
        {"TurnBudget", &lane.turn_type},
    };
    const struct { const char *name; PyObject **value; } used[] = {
        {"decode_text", &lane.decode_text}, {"decode_json", &lane.decode_json}, {"SENT", &lane.sent},
        {"RAISED", &lane.raised}, {"ADMITTING", &lane.admitting}, {"OPEN", &lane.open},
        {"RELEASED", &lane.released},
    };
    const struct { const char *type, *name; Py_ssize_t *offset; } needed[] = {
        {"DirectLane", "_connection", &lane.connection}, {"DirectLane", "_parser", &lane.parser},
        {"DirectLane", "_meter", &lane.meter}, {"DirectLane", "fd", &lane.lane_fd},
        {"Parser", "whole_limit", &lane.whole_limit}, {"Policy", "decode", &lane.decode},
        {"Policy", "takes_binary", &lane.takes_binary},
        {"Connection", "due", &lane.due}, {"Connection", "phase", &lane.phase},
        {"Connection", "speaks_odac", &lane.speaks_odac}, {"Connection", "policy", &lane.policy},
        {"Connection", "inbox", &lane.inbox}, {"Connection", "outbox", &lane.outbox},
        {"Inbox", "sole_listener", &lane.sole_listener}, {"Outbox", "pending", &lane.pending},
        {"Outbox", "backlog", &lane.backlog}, {"Outbox", "delivery", &lane.delivery},
        {"Delivery", "corked", &lane.corked},
        {"Connection", "context", &lane.context}, {"Delivery", "spare", &lane.spare},
        {"Delivery", "entries", &lane.entries}, {"Outbox", "pending_size", &lane.pending_size},
        {"Delivery", "turn", &lane.turn}, {"TurnBudget", "left", &lane.turn_left},
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        PyObject *type = PyDict_GetItemString(types, needed[i].type);
        if (type == NULL || !PyType_Check(type))
            return PyErr_Format(PyExc_TypeError, "bind_receive() needs the type %s", needed[i].type);
        if (find_slot(type, needed[i].name, needed[i].offset) < 0) return NULL;
    }
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
        PyObject *value = PyDict_GetItemString(values, used[i].name);
        if (value == NULL) return PyErr_Format(PyExc_TypeError, "bind_receive() needs %s", used[i].name);
        Py_XSETREF(*used[i].value, Py_NewRef(value));
    }
    if (!PyTuple_Check(lane.raised)) {
        PyErr_SetString(PyExc_TypeError, "RAISED is a tuple of exceptions");
        return NULL;
    }
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        Py_XSETREF(*kept[i].type, (PyTypeObject *)Py_NewRef(PyDict_GetItemString(types, kept[i].name)));
    Py_XSETREF(lane.reference, Py_NewRef(reference));
    return PyDescr_NewMethod((PyTypeObject *)PyDict_GetItemString(types, "DirectLane"), &receive_method);
}

static int call(PyObject *object, PyObject *name, PyObject *first, PyObject *second) {
    PyObject *result = PyObject_CallMethodObjArgs(object, name, first, second, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Pass the exception of the application, with its traceback, to a method of the inbox. */
static int pass_error(PyObject *inbox, PyObject *method) {
    PyObject *type, *error, *trace;
    if (!PyErr_ExceptionMatches(lane.raised)) return -1;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace != NULL) PyException_SetTraceback(error, trace);
    int result = call(inbox, method, error, NULL);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return result;
}

/* Outbox.uncork(), for one message that the socket accepts in one write */
static int write_pending(PyObject *self, PyObject *outbox, PyObject *delivery) {
    PyObject *pending = SLOT(outbox, lane.pending), *number = SLOT(self, lane.lane_fd);
    if (pending == NULL || number == NULL) return call(outbox, lane.uncork, NULL, NULL);
    if (pending == Py_None) {
        put_slot(delivery, lane.corked, Py_None);
        return 0;
    }
    long fd = PyLong_AsLong(number);
    if (fd < 0 || SLOT(outbox, lane.backlog) != Py_None || !PyList_CheckExact(pending) ||
        PyList_GET_SIZE(pending) != 1 ||
        !IS(PyList_GET_ITEM(pending, 0), (PyTypeObject *)codec.prepared))
        return call(outbox, lane.uncork, NULL, NULL);
    PyObject *frame = Py_NewRef(SLOT(PyList_GET_ITEM(pending, 0), codec.frame));
    put_slot(delivery, lane.corked, Py_None);
    put_slot(outbox, lane.pending, Py_None);
    Py_ssize_t size = PyBytes_GET_SIZE(frame), sent = send_bytes((int)fd, PyBytes_AS_STRING(frame), size);
    int result = 0;
    if (sent != size) {
        PyObject *view = PyMemoryView_FromObject(frame),
                 *rest = view == NULL ? NULL : PySequence_GetSlice(view, sent, size);
        result = rest == NULL ? -1 : call(self, lane.write_rest, rest, NULL);
        Py_XDECREF(rest);
        Py_XDECREF(view);
    }
    Py_DECREF(frame);
    return result;
}

/* Decode a message: as JSON where the route has no decoder and the text looks like JSON. NULL with an
 * exception set. */
static PyObject *decoded(PyObject *decode, PyObject *payload) {
    const char *text = PyBytes_AS_STRING(payload);
    if (decode == lane.decode_text && *text != 0 && strchr("{[\"-0123456789", *text) != NULL) {
        PyObject *value = PyObject_CallOneArg(lane.decode_json, payload);
        if (value != NULL || !PyErr_ExceptionMatches(PyExc_Exception)) return value;
        PyErr_Clear(); /* not JSON: decode_text decides */
    }
    return PyObject_CallOneArg(decode, payload);
}

/* Decode a message (decode is NULL for a binary one) and call its only listener: 0, or -1 with an exception such as
 * KeyboardInterrupt, which is not handled here.
 *
 * This runs code of the application (decode hooks, the listener), which may remove the listener, close the connection
 * and drop every reference to both. So the caller owns a reference to each argument. */
static int receive(PyObject *inbox, PyObject *decode, PyObject *listener, PyObject *payload) {
    PyObject *value = decode == NULL ? Py_NewRef(payload) : decoded(decode, payload);
    if (value == NULL) return pass_error(inbox, lane.undecodable);
    PyObject *result = PyObject_CallOneArg(listener, value);
    int failed = 0;
    if (result == NULL)
        failed = pass_error(inbox, lane.failed);
    else if (result != Py_None && result != lane.sent)
        failed = call(inbox, lane.follow, result, value);
    Py_XDECREF(result);
    Py_DECREF(value);
    return failed;
}

static void put_number(PyObject *object, Py_ssize_t offset, long value) {
    PyObject *number = PyLong_FromLong(value), *before = SLOT(object, offset);
    if (number == NULL) {
        PyErr_Clear(); /* out of memory: leave the number unchanged */
        return;
    }
    SLOT(object, offset) = number;
    Py_XDECREF(before);
}

/* Whether the budget of this turn of the event loop has bytes left for the message. */
static int has_left(PyObject *delivery) {
    PyObject *turn = SLOT(delivery, lane.turn);
    return IS(turn, lane.turn_type) && PyLong_AsLong(SLOT(turn, lane.turn_left)) > 0;
}

/* TurnBudget.spend(size), while bytes are left */
static int spend(PyObject *delivery, Py_ssize_t size) {
    PyObject *turn = SLOT(delivery, lane.turn), *number;
    long left = PyLong_AsLong(SLOT(turn, lane.turn_left)) - (long)size;
    if (left > 0) {
        put_number(turn, lane.turn_left, left);
        return 0;
    }
    if ((number = PyLong_FromSsize_t(size)) == NULL) return -1;
    int failed = call(turn, lane.spend, number, NULL);
    Py_DECREF(number);
    return failed;
}

static PyObject *handle(PyObject *self, PyObject *data) {
    PyObject *connection = SLOT(self, lane.connection), *payload = NULL;
    if (!PyBytes_CheckExact(data) || !IS(connection, lane.connection_type)) goto other;
    PyObject *phase = SLOT(connection, lane.phase);
    if (phase != lane.open && phase != lane.admitting) goto other;
    PyObject *inbox = SLOT(connection, lane.inbox), *policy = SLOT(connection, lane.policy),
             *parser = SLOT(self, lane.parser);
    PyObject *outbox = SLOT(connection, lane.outbox);
    if (!IS(inbox, lane.inbox_type) || !IS(policy, lane.policy_type) || !IS(parser, lane.parser_type) ||
        !IS(outbox, lane.outbox_type))
        goto other;
    PyObject *listener = SLOT(inbox, lane.sole_listener), *decode = SLOT(policy, lane.decode),
             *meter = SLOT(self, lane.meter);
    PyObject *delivery = SLOT(outbox, lane.delivery);
    if (listener == NULL || listener == Py_None || decode == NULL || !IS(delivery, lane.delivery_type)) goto other;
    uint8_t first = (uint8_t)*PyBytes_AS_STRING(data) == WHOLE_BINARY ? WHOLE_BINARY : WHOLE_TEXT;
    if (first == WHOLE_BINARY) {
        if (SLOT(policy, lane.takes_binary) != Py_True) goto other;
        decode = NULL;
    }
    payload = whole_of(data, first, PyLong_AsLong(SLOT(parser, lane.whole_limit)));
    if (payload == NULL) goto other;
    if (first == WHOLE_TEXT && *PyBytes_AS_STRING(payload) == 0x1E && SLOT(connection, lane.speaks_odac) == Py_True)
        goto other;
    Py_ssize_t size = PyBytes_GET_SIZE(payload);
    if (meter != Py_None && !IS(meter, meter_type)) goto other;
    if (size >= FREE && !has_left(delivery)) goto other;
    if (meter != Py_None && meter_exceeds((Meter *)meter, size) != 0) goto other; /* not counted in this case */
    /* From here on the message is handled here: the reference must not handle it again. */
    Py_INCREF(self);
    Py_INCREF(inbox);
    Py_INCREF(outbox);
    Py_INCREF(delivery);
    Py_XINCREF(decode);
    Py_INCREF(listener);
    put_slot(connection, lane.due, Py_None);
    put_slot(delivery, lane.corked, outbox);
    int failed = size >= FREE && spend(delivery, size) < 0 ? -1 : receive(inbox, decode, listener, payload);
    Py_DECREF(listener);
    Py_XDECREF(decode);
    Py_DECREF(inbox);
    Py_DECREF(payload);
    if (failed < 0) {
        /* an exception that is not handled here: first write the messages that the listener sent before it */
        PyObject *type, *error, *trace;
        PyErr_Fetch(&type, &error, &trace);
        if (write_pending(self, outbox, delivery) < 0) PyErr_WriteUnraisable(self);
        PyErr_Restore(type, error, trace);
    } else
        failed = write_pending(self, outbox, delivery);
    Py_DECREF(outbox);
    Py_DECREF(delivery);
    Py_DECREF(self);
    if (failed < 0) return NULL;
    Py_RETURN_NONE;
other:
    Py_XDECREF(payload);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) return NULL;
        PyErr_Clear();
    }
    return PyObject_CallFunctionObjArgs(lane.reference, self, data, NULL);
}

/* Connection.run(), to receive a message */
static PyObject *data_received(PyObject *self, PyObject *data) {
    PyObject *connection = SLOT(self, lane.connection), *outbox, *delivery, *context;
    if (!IS(connection, lane.connection_type) || !IS(outbox = SLOT(connection, lane.outbox), lane.outbox_type) ||
        !IS(delivery = SLOT(outbox, lane.delivery), lane.delivery_type) ||
        (context = SLOT(connection, lane.context)) == NULL)
        return handle(self, data);
    int is_spare = context == Py_None;
    if (is_spare && ((context = SLOT(delivery, lane.spare)) == NULL || !PyContext_CheckExact(context)))
        return handle(self, data);
    Py_INCREF(context);
    if (PyContext_Enter(context) < 0) { /* it is entered already: this is called by code of the same connection */
        PyErr_Clear();
        Py_DECREF(context);
        return handle(self, data);
    }
    Py_INCREF(connection);
    Py_INCREF(delivery);
    PyObject *result = handle(self, data), *type, *error, *trace;
    if (result == NULL) PyErr_Fetch(&type, &error, &trace);
    int failed = PyContext_Exit(context);
    if (is_spare && PyObject_Size(context) != 0) { /* a variable was set in it: keep it for this connection */
        PyObject *fresh = PyContext_New();
        if (fresh == NULL)
            failed = -1;
        else {
            put_slot(delivery, lane.spare, fresh);
            Py_DECREF(fresh);
            /* A released connection keeps none: the context may refer to the connection. */
            if (SLOT(connection, lane.context) == Py_None && SLOT(connection, lane.phase) != lane.released)
                put_slot(connection, lane.context, context);
        }
    }
    Py_DECREF(context);
    Py_DECREF(delivery);
    Py_DECREF(connection);
    if (failed < 0) PyErr_WriteUnraisable(self);
    if (result == NULL) PyErr_Restore(type, error, trace);
    return result;
}

static PyMethodDef receive_method = {"data_received", data_received, METH_O,
    "See :meth:`asyncio.Protocol.data_received`."};

/* Outbox.put(message): see odac/realtime/outbox.py; handles a message while the outbox is corked and no room message
 * is pending. */
static PyObject *put(PyObject *self, PyObject *message) {
    PyObject *delivery = SLOT(self, lane.delivery), *pending = SLOT(self, lane.pending), *entries;
    if (lane.delivery_type == NULL || !IS(delivery, lane.delivery_type) || SLOT(delivery, lane.corked) != self ||
        SLOT(self, lane.backlog) != Py_None || !IS(message, (PyTypeObject *)codec.prepared) ||
        (entries = SLOT(delivery, lane.entries)) == NULL || !PyList_CheckExact(entries) ||
        PyList_GET_SIZE(entries) != 0 || pending == NULL)
        goto other;
    long size = (long)PyBytes_GET_SIZE(SLOT(message, codec.frame));
    if (pending == Py_None) {
        if ((pending = PyList_New(1)) == NULL) return NULL;
        PyList_SET_ITEM(pending, 0, Py_NewRef(message));
        put_slot(self, lane.pending, pending);
        Py_DECREF(pending);
    } else {
        size += PyLong_AsLong(SLOT(self, lane.pending_size));
        if (size > lane.flush_bytes || !PyList_CheckExact(pending)) goto other;
        if (PyList_Append(pending, message) < 0) return NULL;
    }
    put_number(self, lane.pending_size, size);
    return Py_NewRef(lane.sent);
other:
    return PyObject_CallFunctionObjArgs(lane.put_reference, self, message, NULL);
}

static PyMethodDef put_method = {"put", put, METH_O, "Send a message of this connection's own."};

/* bind_put(Outbox, reference, FLUSH_BYTES). bind_receive() gets the offsets of the slots; before that, put() calls the
 * reference. */
static PyObject *bind_put(PyObject *module, PyObject *args) {
    PyObject *type, *reference;
    if (!PyArg_ParseTuple(args, "O!Ol", &PyType_Type, &type, &reference, &lane.flush_bytes)) return NULL;
    if (find_slot(type, "delivery", &lane.delivery) < 0) return NULL;
    Py_XSETREF(lane.put_reference, Py_NewRef(reference));
    return PyDescr_NewMethod((PyTypeObject *)type, &put_method);
}

/* untrack(transport, *objects), track(transport, *objects): see odac/lanes/collector.py */

static void set_tracked(PyObject *object, int tracked) {
    if (!PyObject_IS_GC(object) || PyObject_GC_IsTracked(object) == tracked) return;
    if (tracked)
        PyObject_GC_Track(object);
    else
        PyObject_GC_UnTrack(object);
}

/* A list or a bound method of the transport; untracked only if nothing else refers to it */
static int set_part_tracked(PyObject *part, void *tracked) {
    if ((*(int *)tracked || Py_REFCNT(part) == 1) && (PyList_CheckExact(part) || PyCFunction_CheckExact(part)))
        set_tracked(part, *(int *)tracked);
    return 0;
}

static PyObject *set_all_tracked(PyObject *const *args, Py_ssize_t count, int tracked) {
    for (Py_ssize_t i = 1; i < count; i++) set_tracked(args[i], tracked);
    if (count > 0 && PyObject_IS_GC(args[0])) {
        PyTypeObject *type = Py_TYPE(args[0]);
        type->tp_traverse(args[0], set_part_tracked, &tracked);
        if (type->tp_weaklistoffset > 0) {
            PyWeakReference *weak = *(PyWeakReference **)((char *)args[0] + type->tp_weaklistoffset);
            for (; weak != NULL; weak = weak->wr_next) set_tracked((PyObject *)weak, tracked);
        }
        set_tracked(args[0], tracked);
    }
    Py_RETURN_NONE;
}

static PyObject *untrack(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return set_all_tracked(args, count, 0);
}

static PyObject *track(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return set_all_tracked(args, count, 1);
}

static PyMethodDef methods[] = {
    {"apply_mask", (PyCFunction)(void (*)(void))apply_mask, METH_FASTCALL, NULL},
    {"base64url", base64url, METH_O, NULL},
    {"bind_clock", bind_clock, METH_O, NULL},
    {"bind_encode", bind_encode, METH_VARARGS, NULL},
    {"bind_put", bind_put, METH_VARARGS, NULL},
    {"bind_receive", bind_receive, METH_VARARGS, NULL},
    {"encode", encode, METH_O, NULL},
    {"from_base64url", from_base64url, METH_O, NULL},
    {"track", (PyCFunction)(void (*)(void))track, METH_FASTCALL, NULL},
    {"untrack", (PyCFunction)(void (*)(void))untrack, METH_FASTCALL, NULL},
    {"usual_cookies", (PyCFunction)(void (*)(void))usual_cookies, METH_FASTCALL, NULL},
    {"usual_offer", usual_offer, METH_O, NULL},
    {"usual_request", (PyCFunction)(void (*)(void))usual_request, METH_FASTCALL, NULL},
    {"usual_response", (PyCFunction)(void (*)(void))usual_response, METH_FASTCALL, NULL},
    {"whole_text", (PyCFunction)(void (*)(void))whole_text, METH_FASTCALL, NULL},
    {"write", (PyCFunction)(void (*)(void))write_, METH_FASTCALL, NULL},
    {"write_to_all", (PyCFunction)(void (*)(void))write_to_all, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};
/* The objects that bind_…() was given belong to one interpreter, and must not be replaced by those of another. */
static int64_t owner = -1;
static int modules; /* how many modules it has: each new import makes another */

static int start(PyObject *self) {
    int64_t here = PyInterpreterState_GetID(PyInterpreterState_Get());
    if (owner != -1 && owner != here) {
        PyErr_SetString(PyExc_ImportError,
                        "odac's compiled accelerator serves one interpreter of a process, and another one uses it: "
                        "this one uses pure Python, with the same results (under mod_wsgi, WSGIApplicationGroup "
                        "%{GLOBAL} has one interpreter for all)");
        return -1;
    }
    if (kinds['0'] == 0) {
        fill_kinds();
        fill_base64url();
    }
    const struct { PyObject **name; const char *text; } names[] = {
        {&fd_name, "fd"}, {&lane.failed, "failed"}, {&lane.undecodable, "undecodable"}, {&lane.follow, "follow"},
        {&lane.uncork, "uncork"}, {&lane.write_rest, "write_rest"},
        {&lane.spend, "spend"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PyObject *name = PyUnicode_InternFromString(names[i].text);
        if (name == NULL) return -1;
        Py_XSETREF(*names[i].name, name);
    }
    for (int i = 0; i < KNOWN; i++) {
        PyObject *name = PyBytes_FromString(known_texts[i]);
        if (name == NULL) return -1;
        Py_XSETREF(known_names[i], name);
    }
    PyObject *type = PyType_FromSpec(&meter_spec);
    if (type == NULL || PyModule_AddObjectRef(self, "RateMeter", type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    Py_XSETREF(meter_type, (PyTypeObject *)type);
    owner = here;
    modules++;
    return 0;
}

/* The interpreter ends: release the module for another one. */
static void stop(void *self) {
    if (owner != PyInterpreterState_GetID(PyInterpreterState_Get())) return; /* this import was refused */
    if (--modules > 0) return;
    PyObject **kept[] = {
        &fd_name, &codec.prepared, &codec.encode_json, &codec.reference, &codec.text, &codec.binary, &lane.reference,
        &lane.put_reference, &lane.decode_text,
        &lane.decode_json, &lane.sent, &lane.raised, &lane.admitting, &lane.open, &lane.released,
        (PyObject **)&lane.connection_type, (PyObject **)&lane.outbox_type, (PyObject **)&lane.delivery_type,
        (PyObject **)&lane.parser_type, (PyObject **)&lane.inbox_type,
        (PyObject **)&lane.policy_type, (PyObject **)&lane.turn_type, (PyObject **)&meter_type,
        &rate_clock.monotonic, &lane.spend, &lane.failed, &lane.undecodable, &lane.follow,
        &lane.uncork, &lane.write_rest,
    };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) Py_CLEAR(*kept[i]);
    for (int i = 0; i < KNOWN; i++) Py_CLEAR(known_names[i]);
    owner = -1;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, start},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED}, /* with a GIL of their own */
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED}, /* slots of connections and what is bound are read and written without locks */
#endif
    {0, NULL},
};
static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_speedups", .m_methods = methods, .m_slots = slots, .m_free = stop,
};

PyMODINIT_FUNC PyInit__speedups(void) { return PyModuleDef_Init(&module); }
