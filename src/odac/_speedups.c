/* The optional accelerator: the steps that remain Python's own when the way of a message is as short as it can be.
 *
 * Each has a reference that does the same (odac/wire/whole.py, odac/wire/mask.py, odac/wire/usual.py, odac/realtime/writing.py) and is used
 * where this file was not compiled; the same tests run over both.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif

static PyObject *fd_name;

/* out = data ^ mask, repeated; returns whether a byte of it is not ASCII */
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

/* whole_text(data, limit): see odac/wire/whole.py */
static PyObject *whole_text(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyBytes_CheckExact(args[0]) || !PyLong_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "whole_text(data: bytes, limit: int)");
        return NULL;
    }
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    long limit = PyLong_AsLong(args[1]);
    if (size < 6 || data[0] != 0x81) Py_RETURN_NONE;
    Py_ssize_t start = data[1] == 0xFE ? 8 : 6, length = size - start;
    if (length > limit) Py_RETURN_NONE;
    if (start == 6 ? length > 125 || data[1] != 0x80 + length : length < 126 || (data[2] << 8 | data[3]) != length)
        Py_RETURN_NONE;
    PyObject *payload = PyBytes_FromStringAndSize(NULL, length);
    if (payload == NULL) return NULL;
    if (xor_mask((uint8_t *)PyBytes_AS_STRING(payload), data + start, length, data + start - 4)) {
        Py_DECREF(payload); /* not ASCII: the parser checks that it is UTF-8 */
        Py_RETURN_NONE;
    }
    return payload;
}

/* What send() has taken: 0 where the socket is full, all where the peer is gone (the transport hears of it by itself). */
static Py_ssize_t taken(int fd, const char *data, Py_ssize_t size) {
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
    return PyLong_FromSsize_t(taken((int)PyLong_AsLong(args[0]), PyBytes_AS_STRING(args[1]), PyBytes_GET_SIZE(args[1])));
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
    Py_ssize_t *state = PyMem_Malloc((size_t)(number + 1) * sizeof *state); /* the fd, then what was taken; -1: no fd */
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
        if (state[i] >= 0) state[i] = taken((int)state[i], data, size);
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

/* The grammar of a request's head: RFC 9110 section 5.6.2 (tokens), RFC 3986 section 3.2.2 (hosts), as handshake.py has it. */
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
    return at[name] == ':' && port >= 1 && port <= 5 && span(at + name + 1, port, DIGIT) == port;
}

static int is_one(const uint8_t *at, Py_ssize_t size, const char *text) {
    return (size_t)size == strlen(text) && memcmp(at, text, size) == 0;
}

enum { NEEDED = 5, MOST_USUAL = 32 };

/* Whether a field may stand in a usual handshake; *found counts those that must. */
static int is_usual(const uint8_t *name, Py_ssize_t length, const uint8_t *value, Py_ssize_t size, int *found, Py_ssize_t most) {
    if (is_one(name, length, "host")) return ++*found, is_host(value, size);
    if (is_one(name, length, "upgrade")) return ++*found, is_one(value, size, "websocket");
    if (is_one(name, length, "connection"))
        return ++*found, is_one(value, size, "Upgrade") || is_one(value, size, "upgrade") || is_one(value, size, "keep-alive, Upgrade");
    if (is_one(name, length, "sec-websocket-version")) return ++*found, is_one(value, size, "13");
    if (is_one(name, length, "sec-websocket-key"))
        return ++*found, size == 24 && span(value, 22, BASE64) == 22 && value[22] == '=' && value[23] == '=';
    if (is_one(name, length, "sec-websocket-protocol") || is_one(name, length, "sec-websocket-extensions")) {
        Py_ssize_t commas = 0;
        for (Py_ssize_t i = 0; i < size; i++) commas += value[i] == ',';
        return commas < most;
    }
    return !is_one(name, length, "content-length") && !is_one(name, length, "transfer-encoding");
}

/* usual_request(data, max_headers, max_header_bytes, max_list): see odac/wire/usual.py */
static PyObject *usual_request(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_ssize_t bounds[3];
    if (count != 4 || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "usual_request(data: bytes, max_headers: int, max_header_bytes: int, max_list: int)");
        return NULL;
    }
    for (int i = 0; i < 3; i++)
        if ((bounds[i] = PyLong_AsSsize_t(args[i + 1])) == -1 && PyErr_Occurred()) return NULL;
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]), at = 4, target, start;
    if (size < 16 || memcmp(data, "GET ", 4) != 0) Py_RETURN_NONE;
    target = span(data + at, size - at, VISIBLE);
    at += target;
    if (target == 0 || size - at < 11 || memcmp(data + at, " HTTP/1.1\r\n", 11) != 0 || at + 9 > bounds[1]) Py_RETURN_NONE;
    start = at += 11;
    int found = 0;
    Py_ssize_t key = 0;
    PyObject *headers = PyList_New(0);
    if (headers == NULL) return NULL;
    while (size - at >= 2 && !(data[at] == '\r' && data[at + 1] == '\n')) {
        uint8_t name[64];
        Py_ssize_t length = span(data + at, size - at, TOKEN), value = at + length + 1, stop, next;
        if (length == 0 || length > 64 || value > size || data[value - 1] != ':' || PyList_GET_SIZE(headers) >= MOST_USUAL) goto other;
        for (Py_ssize_t i = 0; i < length; i++) name[i] = data[at + i] | (data[at + i] >= 'A' && data[at + i] <= 'Z' ? 0x20 : 0);
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
        if (is_one(name, length, "sec-websocket-key")) key = value;
        PyObject *field = Py_BuildValue("(y#y#)", (char *)name, length, (char *)data + value, stop - value);
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

static PyMethodDef methods[] = {
    {"apply_mask", (PyCFunction)(void (*)(void))apply_mask, METH_FASTCALL, NULL},
    {"usual_request", (PyCFunction)(void (*)(void))usual_request, METH_FASTCALL, NULL},
    {"whole_text", (PyCFunction)(void (*)(void))whole_text, METH_FASTCALL, NULL},
    {"write", (PyCFunction)(void (*)(void))write_, METH_FASTCALL, NULL},
    {"write_to_all", (PyCFunction)(void (*)(void))write_to_all, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_speedups", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__speedups(void) {
    fill_kinds();
    fd_name = PyUnicode_InternFromString("fd");
    return fd_name == NULL ? NULL : PyModule_Create(&module);
}
