// See pump.hpp. The garbage behind a piece looks like JSON and like an event, on purpose.
#include "t/check/pump.hpp"

#include <memory>

#include "t/check/dialect_check.hpp"

namespace llm::check {
namespace {

constexpr std::string_view kGarbage = "\"}]}\n\ndata: {\"error\":1}\n\n[DONE]\\\\\"\"{{{{[[[[0000";

class EncodingSink final : public ir::EventSink {
  public:
    EncodingSink(Encoder &encoder, ByteBuffer &out) : encoder_(encoder), out_(out) {}
    void on_event(const ir::StreamEvent &event) override { encoder_.event(event, out_); }

  private:
    Encoder &encoder_;
    ByteBuffer &out_;
};

void append_padding(std::string &bytes) {
    size_t end = bytes.size() + json::kPadding;
    while (bytes.size() < end) {
        bytes.append(kGarbage.substr(0, end - bytes.size()));
    }
}

}  // namespace

ClientView full_view(FixedIds &ids) {
    ClientView view;
    view.usage_wanted = true;
    view.show_reasoning = true;
    view.now = 1700000000;
    view.ids = &ids;
    view.model = "asked-for";
    view.request_bytes = 400;
    return view;
}

void pump(Decoder &decoder, std::string_view bytes, const Cuts &cuts, ir::EventSink &sink) {
    size_t from = 0;
    auto piece = [&](size_t to) {
        std::string padded(bytes.substr(from, to - from));
        append_padding(padded);
        decoder.feed(std::string_view(padded.data(), to - from), sink);
        from = to;
    };
    for (size_t cut : cuts) {
        piece(cut);
    }
    piece(bytes.size());
    decoder.finish(sink);
}

EventLog decode(DialectId provider, std::string_view bytes, const Cuts &cuts) {
    EventLog log(provider);
    auto decoder = dialect(provider).make_decoder();
    pump(*decoder, bytes, cuts, log);
    return log;
}

std::string translate(DialectId provider, DialectId client, std::string_view bytes,
                      const Cuts &cuts) {
    FixedIds ids;
    return translate(provider, full_view(ids), client, bytes, cuts);
}

std::string translate(DialectId provider, const ClientView &view, DialectId client,
                      std::string_view bytes, const Cuts &cuts) {
    ByteBuffer out;
    auto encoder = dialect(client).make_encoder(view);
    auto decoder = dialect(provider).make_decoder();
    EncodingSink sink(*encoder, out);
    pump(*decoder, bytes, cuts, sink);
    return std::string(out.view());
}

std::vector<size_t> frame_ends(DialectId provider, std::string_view stream) {
    if (check_of(provider).frame_ends != nullptr) {
        return check_of(provider).frame_ends(stream);
    }
    std::vector<size_t> ends;
    for (std::string_view blank : {"\n\n", "\r\n\r\n", "\r\r"}) {
        for (size_t at = stream.find(blank); at != std::string_view::npos;
             at = stream.find(blank, at + 1)) {
            ends.push_back(at + blank.size());
        }
        if (!ends.empty()) {
            break;
        }
    }
    return ends;
}

std::string stream_bytes(std::string_view file_name, const std::string &content) {
    if (!file_name.ends_with(".b64")) {
        return content;
    }
    std::string out;
    uint32_t bits = 0;
    int count = 0;
    for (char c : content) {
        constexpr std::string_view kDigits =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t digit = kDigits.find(c);
        if (digit == std::string_view::npos) {
            continue;
        }
        bits = bits << 6 | uint32_t(digit);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out += char(bits >> count & 0xff);
        }
    }
    return out;
}

Document::Document(std::string_view bytes, const json::Limits &limits)
    : padded_(bytes), size_(bytes.size()) {
    append_padding(padded_);
    if (auto parsed = reader_.parse(this->bytes(), limits)) {
        root_ = *parsed;
        is_good_ = true;
    }
}

}  // namespace llm::check
