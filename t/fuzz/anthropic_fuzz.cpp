// Fuzzes the messages dialect. The first byte says how:
//   0  a request body: what can be parsed can be rendered, and the result parsed again
//   1  a stream: every cut gives the same events, and the encoder fed with them keeps the grammar
//   2  a stream through the pass-through observer
//   3  any events at all into the encoder: the grammar holds
//   4  a schema: the rewritten one is JSON
#include <cstdint>
#include <cstdlib>
#include <string>

#include "t/fuzz/require.hpp"
#include "t/unit/anthropic_grammar.hpp"
#include "translators/dialect/anthropic_schema.hpp"
#include "translators/dialect/dialect.hpp"

namespace {

using namespace llm;
using ir::EventKind;
using ir::StreamEvent;

using llm::fuzz::require;

std::string padded(std::string_view bytes) {
    std::string copy(bytes);
    copy.append(json::kPadding, '\0');
    return copy;
}

void request(std::string_view body, uint8_t flags) {
    json::Reader reader;
    Arena arena;
    auto root = reader.parse_unpadded(body);
    if (!root) {
        return;
    }
    bool is_enveloped = bool(kAnthropic.read_envelope(*root));
    ir::Request parsed;
    if (!kAnthropic.parse_request(*root, arena, parsed)) {
        return;
    }
    Target target;
    target.model = "m";
    target.drop_params = (flags & 1) != 0;
    target.traits.thinking = (flags & 2) != 0;
    target.traits.adaptive_thinking = (flags & 4) != 0;
    target.traits.structured_output = (flags & 8) != 0;
    target.traits.prefill = (flags & 16) != 0;
    target.traits.system_in_messages = (flags & 32) != 0;
    target.traits.rejects_sampling = (flags & 64) != 0;
    if ((flags & 128) != 0) {
        parsed.dialect = DialectId::openai;
        for (ir::Tool &tool : parsed.tools) {
            tool.dialect = DialectId::openai;
        }
    }
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    if (!kAnthropic.render_request(parsed, target, arena, writer, notes)) {
        return;
    }
    json::Reader again;
    auto rendered = again.parse_unpadded(out.view());
    require(bool(rendered));
    ir::Request second;
    require(bool(kAnthropic.parse_request(*rendered, arena, second)));
    require(!is_enveloped || !second.turns.empty());
}

// Events as one string, so that runs can be compared.
struct Log final : public ir::EventSink {
    void on_event(const StreamEvent &event) override {
        text += static_cast<char>('a' + static_cast<int>(event.kind));
        text += static_cast<char>('0' + static_cast<int>(event.block_kind));
        text += static_cast<char>('A' + static_cast<int>(event.finish));
        text += std::to_string(event.block);
        for (std::string_view part :
             {event.text.bytes, event.id.bytes, event.name.bytes, event.native.bytes,
              event.stop_sequence.bytes, event.raw.bytes}) {
            text += '|';
            text += part;
        }
        if (event.usage != nullptr) {
            text += std::to_string(event.usage->input) + "," + std::to_string(event.usage->output);
        }
        text += '\n';
        if (encoder != nullptr) {
            encoder->event(event, *out);
        }
    }

    std::string text;
    Encoder *encoder = nullptr;
    ByteBuffer *out = nullptr;
};

void feed(Decoder &decoder, std::string_view bytes, Log &log) {
    std::string copy = padded(bytes);
    decoder.feed({copy.data(), bytes.size()}, log);
}

void stream(std::string_view bytes, uint8_t step) {
    Log whole;
    ByteBuffer out;
    ClientView view;
    view.json_tool = (step & 1) != 0;
    view.show_reasoning = (step & 2) != 0;
    auto encoder = kAnthropic.make_encoder(view);
    whole.encoder = encoder.get();
    whole.out = &out;
    auto decoder = kAnthropic.make_decoder();
    feed(*decoder, bytes, whole);
    decoder->finish(whole);
    require(decoder->ended());
    require(test::grammar_fault(out.view()).empty());

    Log cut;
    auto other = kAnthropic.make_decoder();
    for (size_t at = 0; at < bytes.size(); at += size_t{1} + step) {
        feed(*other, bytes.substr(at, size_t{1} + step), cut);
    }
    other->finish(cut);
    require(cut.text == whole.text);
}

struct Frames final : public wire::SseHandler {
    Status on_sse(const wire::SseEvent &event) override {
        observer->on_frame(event);
        return {};
    }

    std::unique_ptr<Observer> observer = kAnthropic.make_observer({});
};

void observe(std::string_view bytes) {
    Frames frames;
    std::string copy = padded(bytes);
    wire::SseSplitter splitter;
    static_cast<void>(splitter.feed({copy.data(), bytes.size()}, frames));
    ByteBuffer tail;
    frames.observer->finish(tail);
}

void events(std::string_view bytes, uint8_t flags) {
    static constexpr std::string_view kTexts[] = {"",    "a",       "{}",
                                                  "\\n", "\\ud83d", "json_tool_call"};
    static constexpr std::string_view kRaws[] = {"", "{}", "{\"type\":\"char_location\"}",
                                                 "{\"type\":\n\"mcp_tool_result\"}"};
    static constexpr std::string_view kNames[] = {"f", "json_tool_call", "mcp_tool_result", ""};
    ClientView view;
    view.json_tool = (flags & 1) != 0;
    view.show_reasoning = (flags & 2) != 0;
    auto encoder = kAnthropic.make_encoder(view);
    ByteBuffer out;
    Usage usage;
    for (size_t at = 0; at + 2 < bytes.size(); at += 3) {
        auto first = static_cast<uint8_t>(bytes[at]);
        auto second = static_cast<uint8_t>(bytes[at + 1]);
        auto third = static_cast<uint8_t>(bytes[at + 2]);
        StreamEvent event;
        event.kind = static_cast<EventKind>(first % 13);
        event.block = second % 7;
        event.block_kind = static_cast<ir::BlockKind>(second / 7 % 5);
        event.finish = static_cast<ir::Finish>(second % 11);
        event.choice = first > 250 ? 1 : 0;
        event.origin = third > 240 ? DialectId::openai : DialectId::anthropic;
        event.text = {kTexts[third % 6]};
        event.name = {kNames[third / 6 % 4]};
        event.raw = {kRaws[third % 4]};
        usage.known = second % 2 == 0;
        usage.input = third;
        event.usage = third % 5 == 0 ? nullptr : &usage;
        encoder->event(event, out);
    }
    std::string fault = test::grammar_fault(out.view(), true);
    require(fault.empty());
    StreamEvent end;
    end.kind = EventKind::end;
    encoder->event(end, out);
    require(test::grammar_fault(out.view()).empty());
}

void schema(std::string_view bytes) {
    json::Reader reader;
    auto root = reader.parse_unpadded(bytes);
    if (!root) {
        return;
    }
    Arena arena;
    RawJson rewritten = anthropic::rewrite_schema(*root, {}, arena);
    json::Reader again;
    require(bool(again.parse_unpadded(rewritten.bytes)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    std::string_view bytes(reinterpret_cast<const char *>(data) + 2, size - 2);
    switch (data[0] % 5) {
        case 0:
            request(bytes, data[1]);
            break;
        case 1:
            stream(bytes, data[1]);
            break;
        case 2:
            observe(bytes);
            break;
        case 3:
            events(bytes, data[1]);
            break;
        default:
            schema(bytes);
            break;
    }
    return 0;
}
