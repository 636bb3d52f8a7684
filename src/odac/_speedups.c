/* The optional accelerator: the steps that remain Python's own when the way of a message is as short as it can be.
 *
 * Each has a reference that does the same (odac/wire/whole.py, odac/wire/mask.py, odac/realtime/writing.py) and is used
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

static PyMethodDef methods[] = {
    {"apply_mask", (PyCFunction)(void (*)(void))apply_mask, METH_FASTCALL, NULL},
    {"whole_text", (PyCFunction)(void (*)(void))whole_text, METH_FASTCALL, NULL},
    {"write", (PyCFunction)(void (*)(void))write_, METH_FASTCALL, NULL},
    {"write_to_all", (PyCFunction)(void (*)(void))write_to_all, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_speedups", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__speedups(void) {
    fd_name = PyUnicode_InternFromString("fd");
    return fd_name == NULL ? NULL : PyModule_Create(&module);
}
