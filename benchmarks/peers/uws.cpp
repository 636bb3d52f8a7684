// uWebSockets: echo on /, a room on /room. With a certificate and a key as further arguments, over TLS.
// usage: uws PORT [CERT KEY]
//
// To compile it, with uWebSockets' source in ../uWebSockets and uSockets' in ../uWebSockets/uSockets:
//
//   WITH_OPENSSL=1 make -C ../uWebSockets/uSockets
//   g++ -std=c++20 -O3 -flto -DUWS_NO_ZLIB -I../uWebSockets/src -I../uWebSockets/uSockets/src benchmarks/peers/uws.cpp \
//       ../uWebSockets/uSockets/uSockets.a -lssl -lcrypto -o ../uWebSockets/uws
//
// Without TLS: leave out WITH_OPENSSL=1, -lssl and -lcrypto, and add -DLIBUS_NO_SSL.
#include "App.h"
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

struct Nothing {};

template <bool SSL> static void serve(uWS::TemplatedApp<SSL> app, int port) {
    typename uWS::TemplatedApp<SSL>::template WebSocketBehavior<Nothing> echo{}, room{};
    echo.compression = room.compression = uWS::DISABLED;
    echo.maxPayloadLength = room.maxPayloadLength = 2 * 1024 * 1024;
    echo.maxBackpressure = room.maxBackpressure = 16 * 1024 * 1024;
    echo.message = [](auto *ws, std::string_view message, uWS::OpCode code) { ws->send(message, code); };
    room.open = [](auto *ws) { ws->subscribe("room"); };
    auto *all = &app;
    room.message = [all](auto *, std::string_view message, uWS::OpCode code) { all->publish("room", message, code); };
    app.template ws<Nothing>("/room", std::move(room));
    app.template ws<Nothing>("/*", std::move(echo));
    app.listen("127.0.0.1", port, [](auto *socket) { if (!socket) exit(1); });
    app.run();
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    int port = atoi(arguments[1]);
#ifndef LIBUS_NO_SSL
    if (count > 3) {
        uWS::SocketContextOptions options{};
        options.cert_file_name = arguments[2];
        options.key_file_name = arguments[3];
        serve<true>(uWS::SSLApp(options), port);
        return 0;
    }
#else
    if (count > 2) {
        fputs("compiled with LIBUS_NO_SSL: compile it with OpenSSL to serve over TLS\n", stderr);
        return 2;
    }
#endif
    serve<false>(uWS::App(), port);
    return 0;
}
