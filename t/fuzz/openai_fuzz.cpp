// Fuzz target of the chat completions dialect. The first byte chooses the direction, the second
// the properties of the target, the rest is the input:
//   requests   what is accepted is written for every dialect as valid JSON, and what is written
//              for chat is accepted again and written as the same bytes
//   answers    written for every dialect as valid JSON; for chat, read back with as many choices
//   streams    cut anywhere gives the same events; they end once; every encoder's output is a
//              valid stream; a chat stream written from them reads back as the same answer
//   splices    a spliced body is valid JSON with the model it was given
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "t/fuzz/observe.hpp"
#include "t/fuzz/require.hpp"
#include "translators/dialect/dialect.hpp"

namespace {

using namespace llm;

using llm::fuzz::require;

constexpr const Dialect *kTargets[] = {&kOpenAi, &kAnthropic};

struct Ids final : IdSource {
    uint64_t next() override { return ++last; }
    uint64_t last = 0;
};

// Bytes at the very end of an allocation but for the padding that the library asks for.
class Padded {
  public:
    explicit Padded(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {
        bytes_.resize(bytes.size() + json::kPadding, '"');
    }
    std::string_view view() const { return {bytes_.data(), bytes_.size() - json::kPadding}; }

  private:
    std::vector<char> bytes_;
};

struct Document {
    explicit Document(std::string_view text, bool is_answer = false) : bytes(text) {
        json::Limits limits;
        limits.allow_lone_surrogates = is_answer;
        Result<json::Value> parsed = reader.parse(bytes.view(), limits);
        is_valid = static_cast<bool>(parsed);
        if (is_valid) {
            root = *parsed;
        }
    }
    Padded bytes;
    json::Reader reader;
    json::Value root;
    bool is_valid = false;
};

Target target_of(uint8_t bits) {
    Target target;
    target.model = "target \"1\"";
    target.drop_params = (bits & 1) != 0;
    target.traits.max_completion_tokens = (bits & 2) != 0;
    target.traits.is_reasoning = (bits & 4) != 0;
    target.traits.developer_role = (bits & 8) != 0;
    target.traits.strict_members = (bits & 16) != 0;
    target.traits.wants_reasoning_content = (bits & 32) != 0;
    target.traits.thinking = target.traits.adaptive_thinking = (bits & 64) != 0;
    target.traits.reasoning_details = target.traits.service_tier = (bits & 64) != 0;
    target.traits.structured_output = target.traits.no_stream_options = (bits & 128) != 0;
    return target;
}

// --- requests -------------------------------------------------------------------------------

// The body for a target, or nothing when it is refused.
std::string written(const ir::Request &request, const Dialect &dialect, const Target &target) {
    Arena arena;
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    if (!dialect.render_request(request, target, arena, writer, notes)) {
        return {};
    }
    std::string body(out.view());
    require(Document(body).is_valid);
    return body;
}

void fuzz_request(std::string_view body, const Target &target) {
    Document document(body);
    if (!document.is_valid) {
        return;
    }
    bool has_envelope = static_cast<bool>(kOpenAi.read_envelope(document.root));
    Arena arena;
    ir::Request request;
    if (!kOpenAi.parse_request(document.root, arena, request)) {
        return;
    }
    std::string once;
    for (const Dialect *dialect : kTargets) {
        std::string out = written(request, *dialect, target);
        once = dialect == &kOpenAi ? out : once;
    }
    // A member given twice is refused before it comes so far.
    if (once.empty() || !has_envelope) {
        return;
    }
    Document again(once);
    Arena second_arena;
    ir::Request second;
    if (again.root["messages"].size() == 0 || again.root["messages"].size() > 8192) {
        return;
    }
    require(static_cast<bool>(kOpenAi.parse_request(again.root, second_arena, second)));
    require(written(second, kOpenAi, target) == once);
}

void fuzz_splice(std::string_view body, const Target &target) {
    Document document(body);
    if (!document.is_valid) {
        return;
    }
    Result<Envelope> envelope = kOpenAi.read_envelope(document.root);
    if (!envelope) {
        return;
    }
    std::vector<Edit> edits;
    Notes notes;
    require(
        static_cast<bool>(kOpenAi.splice_request(document.root, *envelope, target, edits, notes)));
    std::string result;
    size_t at = 0;
    for (const Edit &edit : edits) {
        require(edit.begin >= at && edit.end >= edit.begin && edit.end <= body.size());
        result += body.substr(at, edit.begin - at);
        result += edit.text;
        at = edit.end;
    }
    result += body.substr(at);
    Document spliced(result);
    require(spliced.is_valid && spliced.root["model"].equals(target.model));
    json::Value options = spliced.root["stream_options"];
    if (envelope->stream && !target.traits.no_stream_options && options.is_object()) {
        require(options["include_usage"].is_true());
    }
}

// --- answers --------------------------------------------------------------------------------

std::string written(const ir::Response &response, const Dialect &dialect, const ClientView &view) {
    Arena arena;
    ByteBuffer out;
    json::Writer writer(out);
    dialect.render_response(response, view, arena, writer);
    std::string body(out.view());
    require(Document(body, true).is_valid);
    return body;
}

ClientView view_of(uint8_t bits, Ids &ids) {
    ClientView view;
    view.ids = &ids;
    view.now = 1700000000;
    view.model = "shown";
    view.usage_wanted = (bits & 1) != 0;
    view.show_reasoning = (bits & 2) == 0;
    view.legacy_functions = (bits & 4) != 0;
    view.json_tool = (bits & 8) != 0;
    return view;
}

void fuzz_answer(std::string_view body, uint8_t bits) {
    Document document(body, true);
    if (!document.is_valid) {
        return;
    }
    Usage usage;
    JsonText model;
    JsonText finish;
    kOpenAi.observe_response(document.root, usage, model, finish);
    Arena arena;
    ir::Response response;
    if (!kOpenAi.parse_response(document.root, arena, response)) {
        return;
    }
    Ids ids;
    for (const Dialect *dialect : kTargets) {
        written(response, *dialect, view_of(bits, ids));
    }
    Ids first_ids;
    std::string once = written(response, kOpenAi, view_of(0, first_ids));
    Document again(once, true);
    Arena second_arena;
    ir::Response second;
    require(static_cast<bool>(kOpenAi.parse_response(again.root, second_arena, second)));
    Ids second_ids;
    // Not the same bytes: a finish reason that chat does not know is told only the first time.
    require(second.choices.size() == response.choices.size());
    written(second, kOpenAi, view_of(0, second_ids));
}

// --- streams --------------------------------------------------------------------------------

// The events of a stream as text, and the answer that they add up to.
class Recorder : public ir::EventSink {
  public:
    void on_event(const ir::StreamEvent &event) override {
        require(!is_over);
        using Kind = ir::EventKind;
        switch (event.kind) {
            case Kind::start:
                require(events.empty());
                break;
            case Kind::open:
                require(event.block == blocks);
                ++blocks;
                is_open[event.block] = true;
                break;
            case Kind::delta:
                require(is_open[event.block] && !event.text.empty());
                break;
            case Kind::signature:
            case Kind::cite:
                require(is_open[event.block]);
                break;
            case Kind::redacted:
                require(event.block == blocks && !event.text.empty());
                ++blocks;
                break;
            case Kind::close:
                require(is_open[event.block]);
                is_open[event.block] = false;
                break;
            case Kind::finish:
            case Kind::end:
                for (const auto &[block, open] : is_open) {
                    require(!open);
                }
                is_over = event.kind == Kind::end;
                break;
            case Kind::error:
                is_over = has_failed = true;
                break;
            default:
                break;
        }
        add_up(event);
        events += std::to_string(static_cast<int>(event.kind)) + "," +
                  std::to_string(static_cast<int>(event.block_kind)) + "," +
                  std::to_string(static_cast<int>(event.finish)) + "," +
                  std::to_string(static_cast<int>(event.error_class)) + "," +
                  std::to_string(event.choice) + "," + std::to_string(event.block);
        for (std::string_view text :
             {event.text.bytes, event.id.bytes, event.name.bytes, event.stop_sequence.bytes,
              event.native.bytes, event.raw.bytes}) {
            events.append(1, ',').append(std::to_string(text.size())).append(1, ':').append(text);
        }
        if (event.usage != nullptr) {
            events += "," + std::to_string(event.usage->input) + "+" +
                      std::to_string(event.usage->output);
        }
        events += '\n';
    }

    std::string events;
    std::map<std::string, std::string> answer;  // by choice and kind, or call
    bool is_over = false;
    bool has_failed = false;

  private:
    void add_up(const ir::StreamEvent &event) {
        std::string choice = std::to_string(event.choice) + "/";
        if (event.kind == ir::EventKind::open && event.block_kind == ir::BlockKind::tool) {
            call_of[event.block] = choice + "call " + std::to_string(calls[event.choice]++);
            answer[call_of[event.block]] =
                std::string(event.id.bytes) + " " + std::string(event.name.bytes) + " ";
        } else if (event.kind == ir::EventKind::delta) {
            if (event.block_kind == ir::BlockKind::tool) {
                has_arguments[event.block] = true;
                answer[call_of[event.block]] += event.text.bytes;
            } else {
                answer[choice + std::to_string(static_cast<int>(event.block_kind))] +=
                    event.text.bytes;
            }
        } else if (event.kind == ir::EventKind::close && event.block_kind == ir::BlockKind::tool &&
                   !has_arguments[event.block]) {
            answer[call_of[event.block]] += "{}";
        }
    }

    uint32_t blocks = 0;
    std::map<uint32_t, bool> is_open;
    std::map<uint32_t, bool> has_arguments;
    std::map<uint32_t, std::string> call_of;
    std::map<uint32_t, int> calls;
};

template <class NextCut>
void decode(std::string_view stream, ir::EventSink &sink, NextCut next_cut) {
    std::unique_ptr<Decoder> decoder = kOpenAi.make_decoder();
    for (size_t at = 0; at < stream.size();) {
        size_t size = next_cut(stream.size() - at);
        Padded piece(stream.substr(at, size));
        decoder->feed(piece.view(), sink);
        at += size;
    }
    decoder->finish(sink);
    require(decoder->ended());
    decoder->finish(sink);
}

struct Encoding : ir::EventSink {
    void on_event(const ir::StreamEvent &event) override { encoder->event(event, out); }
    std::unique_ptr<Encoder> encoder;
    ByteBuffer out;
};

// Every frame has data that is JSON, or is the sentinel, which is the last.
struct FrameCheck : wire::SseHandler {
    Status on_sse(const wire::SseEvent &frame) override {
        require(frame.has_data && !has_ended);
        has_ended = frame.data == "[DONE]";
        require(has_ended || Document(frame.data, true).is_valid);
        return {};
    }
    bool has_ended = false;
};

void fuzz_stream(std::string_view stream, uint8_t bits) {
    Recorder whole;
    decode(stream, whole, [](size_t left) { return left; });
    require(whole.is_over);
    Recorder bytes;
    decode(stream, bytes, [](size_t) { return size_t{1}; });
    require(bytes.events == whole.events);
    uint32_t state = bits + 1u;
    Recorder cut;
    decode(stream, cut, [&](size_t left) {
        state = state * 1664525u + 1013904223u;
        size_t size = 1 + (state >> 24) % 61;
        return size < left ? size : left;
    });
    require(cut.events == whole.events);

    for (const Dialect *dialect : kTargets) {
        Ids ids;
        Encoding encoding;
        encoding.encoder = dialect->make_encoder(view_of(bits, ids));
        decode(stream, encoding, [](size_t left) { return left; });
        FrameCheck check;
        wire::SseSplitter splitter;
        Padded out(encoding.out.view());
        require(static_cast<bool>(splitter.feed(out.view(), check)));
        require(splitter.at_boundary());
        if (dialect == &kOpenAi) {
            require(check.has_ended == !whole.has_failed);
        }
    }
    Ids ids;
    Encoding chat;
    chat.encoder = kOpenAi.make_encoder(view_of(1, ids));
    decode(stream, chat, [](size_t left) { return left; });
    Recorder again;
    decode(chat.out.view(), again, [](size_t left) { return left; });
    require(again.has_failed == whole.has_failed);
    require(whole.has_failed || again.answer == whole.answer);
    fuzz::observe(kOpenAi, stream, {.hide_usage = (bits & 1) != 0});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    uint8_t bits = data[1];
    std::string_view input(reinterpret_cast<const char *>(data) + 2, size - 2);
    switch (data[0] % 4) {
        case 0:
            fuzz_request(input, target_of(bits));
            break;
        case 1:
            fuzz_answer(input, bits);
            break;
        case 2:
            fuzz_stream(input, bits);
            break;
        case 3:
            fuzz_splice(input, target_of(bits));
            break;
    }
    return 0;
}
