# Varnish 6 or later between a program that ends TLS (stunnel, hitch; see stunnel.conf) and one server of Odac, which was
# started with --proxy-headers. That program speaks the PROXY protocol to Varnish:
#   varnishd -a 127.0.0.1:8443,PROXY -f /etc/varnish/default.vcl

vcl 4.1;

backend odac {
    .host = "127.0.0.1";
    .port = "8001";
}

sub vcl_recv {
    # Anyone with a publish key may send anything to any client. Open this to your own network if needed.
    if (req.url ~ "^/odac/publish") {
        return (synth(404));
    }
    # Both replace what the client claims.
    set req.http.X-Forwarded-For = client.ip;
    set req.http.X-Forwarded-Proto = "https";
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    # Tokens and health are new for each request, whatever else this file caches.
    if (req.url ~ "^/odac/(token|health)") {
        return (pass);
    }
}

sub vcl_pipe {
    # Varnish takes both away otherwise, and no WebSocket is opened.
    if (req.http.Upgrade) {
        set bereq.http.Upgrade = req.http.Upgrade;
        set bereq.http.Connection = req.http.Connection;
    }
}

# A connection is cut after 60 s of silence (pipe_timeout). Odac pings every 25 s (Limits.ping_interval).
