// What the load generator is asked to do, and the request that it sends.
//
// Entry points: read_options() (the command line, see kLoadUsage), make_request() (head and body of
// the one request that all clients repeat), json_text() (a string of the result line).
// The body has the wanted size to the byte, and the shape of a conversation: a gateway that parses
// it has to deal with many messages and with escapes, not with one long run of letters.
#pragma once

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench_args.hpp"
#include "mock_answers.hpp"

namespace bench {

constexpr char kLoadUsage[] =
    "usage: load --port N [options]     prints one JSON line (hold, slow: one more when ready)\n"
    "  --mode closed     clients ask again when they have the answer (default)\n"
    "         hold       open streams, wait for one event each, keep them, go on reading\n"
    "         slow       the same, but stop reading after the first event (see --read-bytes)\n"
    "         cancel     leave at a random moment within --cancel-ms; a new connection each time\n"
    "  --connections N   clients at once (1)\n"
    "  --requests R      stop after R requests in all (0: no limit)\n"
    "  --duration S      stop asking after S seconds; hold, slow: stay that long (0: no limit)\n"
    "                    with neither: one request per client; hold, slow stay until SIGTERM\n"
    "  --max-seconds S   end in any case (600)\n"
    "  --timeout S       an exchange without a byte for so long is an error (60)\n"
    "  --dialect chat|messages   request body and expected answer (chat)\n"
    "  --path P          (/v1/chat/completions or /v1/messages)\n"
    "  --model NAME      (gpt-bench)\n"
    "  --stream          ask for a stream (hold, slow, cancel: always)\n"
    "  --body-size N     bytes of the request body, at least (0: a small one)\n"
    "  --picture         that body is one picture, not a long conversation (chat)\n"
    "  --body-rate N     kilobytes of it that each client sends in 10 ms (0: all at once)\n"
    "  --header 'N: V'   one more request header; may repeat\n"
    "  --expect-events N content events that a stream must bring (0: any number)\n"
    "  --start-spread-ms N  the first requests begin spread evenly over N ms (0: at once)\n"
    "  --cancel-ms N     (100)    --cancel-with fin|rst|mix (mix)    --seed N (1)\n"
    "  --read-bytes N    slow: bytes to read before stopping (0: the first event)\n"
    "  --rcvbuf N        SO_RCVBUF of each client (kernel's own)\n"
    "  --die-with-parent end when the process that started it ends\n"
    "exit status: 0 all was well, 1 something failed (the line tells), 2 wrong options\n";

enum class Mode { closed, hold, slow, cancel };

struct Options {
    Mode mode = Mode::closed;
    Dialect dialect = Dialect::chat;
    std::string mode_name = "closed";
    std::string dialect_name = "chat";
    std::string path;
    std::string model = "gpt-bench";
    std::string cancel_with = "mix";
    std::vector<std::string> headers;
    long long port = 0;
    long long connections = 1;
    long long requests = 0;
    long long duration_s = 0;
    long long max_seconds = 600;
    long long timeout_s = 60;
    long long body_size = 0;
    long long body_rate = 0;
    long long expect_events = 0;
    long long start_spread_ms = 0;
    long long cancel_ms = 100;
    long long seed = 1;
    long long read_bytes = 0;
    long long rcvbuf = 0;
    bool is_stream = false;
    bool is_picture = false;
    bool dies_with_parent = false;

    bool stays() const { return mode == Mode::hold || mode == Mode::slow; }
};

// Quotes for the result line; what is not printable ASCII becomes a blank.
inline std::string json_text(std::string_view text) {
    std::string quoted = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') {
            quoted += '\\';
            quoted += c;
        } else if (c >= ' ' && c < 127) {
            quoted += c;
        } else {
            quoted += ' ';
        }
    }
    return quoted + "\"";
}

// A conversation of the wanted size, with the escapes that ordinary text has.
inline std::string make_messages(size_t size) {
    constexpr size_t kTurnBytes = 2000;
    constexpr std::string_view kOverhead = "{\"role\":\"assistant\",\"content\":\"\"},";
    auto make_text = [](size_t bytes) {
        constexpr std::string_view kLine =
            "Please go through the \\\"notes\\\" below, line by line.\\nKeep what matters. ";
        std::string text;
        while (text.size() + kLine.size() <= bytes) {
            text += kLine;
        }
        return text + std::string(bytes - text.size(), 'x');
    };
    std::string messages = "[";
    bool is_user = true;
    while (messages.size() + 3 * (kTurnBytes + kOverhead.size()) < size || !is_user) {
        messages += is_user ? "{\"role\":\"user\",\"content\":\""
                            : "{\"role\":\"assistant\",\"content\":\"";
        messages += make_text(kTurnBytes) + "\"},";
        is_user = !is_user;
    }
    messages += "{\"role\":\"user\",\"content\":\"";
    size_t used = messages.size() + 3;
    messages += make_text(used < size ? size - used : 60);
    return messages + "\"}]";
}

inline std::string make_picture(size_t size) {
    std::string messages =
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"What is this?\"},"
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,";
    messages.resize(std::max(messages.size() + 64, size) / 4 * 4, 'A');
    return messages + "\"}}]}]";
}

inline std::string make_request(const Options &options) {
    std::string body = "{\"model\":" + json_text(options.model);
    body += options.is_stream ? ",\"stream\":true" : "";
    if (options.dialect == Dialect::chat) {
        body += options.is_stream ? ",\"stream_options\":{\"include_usage\":true}" : "";
        body += ",\"max_completion_tokens\":512,\"temperature\":0.7,\"messages\":";
    } else {
        body += ",\"max_tokens\":512,\"temperature\":0.7,\"messages\":";
    }
    auto wanted = static_cast<size_t>(options.body_size);
    wanted = wanted > body.size() + 1 ? wanted - body.size() - 1 : 0;
    body += (options.is_picture ? make_picture(wanted) : make_messages(wanted)) + "}";

    std::string head = "POST " + options.path +
                       " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(options.port) +
                       "\r\nContent-Type: application/json\r\nUser-Agent: bench-load/1\r\n";
    head += options.is_stream ? "Accept: text/event-stream\r\n" : "Accept: application/json\r\n";
    head += options.dialect == Dialect::chat
                ? "Authorization: Bearer sk-bench-client\r\n"
                : "x-api-key: sk-bench-client\r\nanthropic-version: 2023-06-01\r\n";
    for (const std::string &header : options.headers) {
        head += header + "\r\n";
    }
    return head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline bool read_mode(Options &options) {
    constexpr std::array<std::pair<const char *, Mode>, 4> kModes = {{
        {"closed", Mode::closed},
        {"hold", Mode::hold},
        {"slow", Mode::slow},
        {"cancel", Mode::cancel},
    }};
    for (const auto &[name, mode] : kModes) {
        if (options.mode_name == name) {
            options.mode = mode;
            return true;
        }
    }
    return false;
}

inline Options read_options(int argc, char **argv) {
    Options options;
    ArgReader args(argc, argv);
    args.text("--mode", options.mode_name);
    args.text("--dialect", options.dialect_name);
    args.text("--path", options.path);
    args.text("--model", options.model);
    args.text("--cancel-with", options.cancel_with);
    args.texts("--header", options.headers);
    args.number("--port", options.port, 1, 65535);
    args.number("--connections", options.connections, 1, 100000);
    args.number("--requests", options.requests, 0, 1000000000);
    args.number("--duration", options.duration_s, 0, 86400);
    args.number("--max-seconds", options.max_seconds, 1, 86400);
    args.number("--timeout", options.timeout_s, 1, 86400);
    args.number("--body-size", options.body_size, 0, 1024 * 1024 * 1024);
    args.number("--body-rate", options.body_rate, 0, 1024 * 1024);
    args.number("--expect-events", options.expect_events, 0, 1000000000);
    args.number("--start-spread-ms", options.start_spread_ms, 0, 3600000);
    args.number("--cancel-ms", options.cancel_ms, 0, 3600000);
    args.number("--seed", options.seed, 0, 1000000000);
    args.number("--read-bytes", options.read_bytes, 0, 1024 * 1024 * 1024);
    args.number("--rcvbuf", options.rcvbuf, 0, 64 * 1024 * 1024);
    options.is_stream = args.flag("--stream");
    options.is_picture = args.flag("--picture");
    options.dies_with_parent = args.flag("--die-with-parent");
    args.finish(kLoadUsage);

    bool is_known = read_mode(options) &&
                    (options.dialect_name == "chat" || options.dialect_name == "messages") &&
                    (options.cancel_with == "fin" || options.cancel_with == "rst" ||
                     options.cancel_with == "mix");
    if (!is_known || options.port == 0) {
        fputs(kLoadUsage, stderr);
        exit(2);
    }
    options.dialect = options.dialect_name == "chat" ? Dialect::chat : Dialect::messages;
    options.is_stream = options.is_stream || options.mode != Mode::closed;
    if (options.path.empty()) {
        options.path = options.dialect == Dialect::chat ? "/v1/chat/completions" : "/v1/messages";
    }
    if (!options.stays() && options.requests == 0 && options.duration_s == 0) {
        options.requests = options.connections;
    }
    return options;
}

}  // namespace bench
