// Fuzz target of the Gemini dialect, both sides. The first byte chooses the direction, the second
// the properties of the target or of the client, the rest is the input:
//   requests   what is accepted is written for every provider as valid JSON, and what is written
//              for Gemini is accepted again and written as the same bytes
//   others'    a chat or messages request: what is written for Gemini keeps to the API's rules
//   answers    written for every client as valid JSON; replayed, they say what the body says
//   streams    cut anywhere give the same events; they end once; every encoder's output can be
//              split, for a Gemini client also as one array
//   schemas    rewritten to valid JSON of a bounded size
//   splices    a spliced body is valid JSON
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "t/check/dialect_check.hpp"
#include "t/check/event_log.hpp"
#include "t/check/pump.hpp"
#include "t/fuzz/observe.hpp"
#include "t/fuzz/require.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/dialect/gemini_schema.hpp"
#include "translators/provider/model_traits.hpp"

namespace {

using namespace llm;
using check::Document;

constexpr json::Limits kAnswerLimits = {.allow_lone_surrogates = true};

using llm::fuzz::require;

struct Ids final : IdSource {
    uint64_t next() override { return ++last; }
    uint64_t last = 0;
};

Target target_of(uint8_t bits) {
    constexpr std::string_view kModels[] = {"gemini-2.0-flash", "gemini-2.5-flash",
                                            "gemini-2.5-pro",   "gemini-3-pro-preview",
                                            "gemini-3.1-flash", "tuned-model"};
    Target target;
    target.model = kModels[(bits >> 2) % std::size(kModels)];
    target.traits = model_traits(DialectId::gemini, target.model, true);
    target.drop_params = (bits & 1) != 0;
    target.carrier = (bits & 2) != 0 ? Carrier::vertex : Carrier::direct;
    return target;
}

// --- requests -------------------------------------------------------------------------------

// The body for a target, or nothing when it is refused.
std::string written(const ir::Request &request, const Dialect &to, const Target &target) {
    Arena arena;
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    if (!to.render_request(request, target, arena, writer, notes)) {
        return {};
    }
    std::string body(out.view());
    require(static_cast<bool>(Document(body)));
    return body;
}

void fuzz_request(std::string_view body, const Target &target) {
    Document document(body);
    Arena arena;
    ir::Request request;
    if (!document || !kGemini.parse_request(document.root(), arena, request)) {
        return;
    }
    for (const Dialect *to : dialects()) {
        if (to->is_provider() && to != &kGemini) {
            written(request, *to, target);
        }
    }
    // What only stands in other words at first stays as it is from then on.
    std::string once = written(request, kGemini, target);
    if (once.empty()) {
        return;
    }
    auto again = [&target](const std::string &from) {
        Document parsed(from);
        Arena second_arena;
        ir::Request second;
        if (parsed.root()["contents"].size() > 8192) {
            return std::string();
        }
        require(static_cast<bool>(kGemini.parse_request(parsed.root(), second_arena, second)));
        return written(second, kGemini, target);
    };
    again(once);
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    if (kGemini.render_count(request, target, arena, writer, notes)) {
        require(static_cast<bool>(Document(out.view())));
    }
}

void fuzz_foreign_request(std::string_view body, const Target &target, const Dialect &from) {
    Document document(body);
    Arena arena;
    ir::Request request;
    if (!document || !from.parse_request(document.root(), arena, request)) {
        return;
    }
    std::string once = written(request, kGemini, target);
    if (once.empty()) {
        return;
    }
    Document sent(once);
    require(sent.root()["contents"].size() > 0);
    std::string before = "model";
    for (json::Value content : sent.root()["contents"].items()) {
        std::string role = check::plain(content["role"].text());
        require(role != before && content["parts"].size() > 0);
        before = role;
    }
}

void fuzz_splice(std::string_view body, const Target &target) {
    Document document(body);
    if (!document) {
        return;
    }
    Result<Envelope> envelope = kGemini.read_envelope(document.root());
    std::vector<Edit> edits;
    Notes notes;
    if (!envelope || !kGemini.splice_request(document.root(), *envelope, target, edits, notes)) {
        return;
    }
    std::string result;
    size_t at = 0;
    for (const Edit &edit : edits) {
        require(edit.begin >= at && edit.end >= edit.begin && edit.end <= body.size());
        result.append(body.substr(at, edit.begin - at)).append(edit.text);
        at = edit.end;
    }
    result.append(body.substr(at));
    require(static_cast<bool>(Document(result)));
}

void fuzz_schema(std::string_view body, bool is_parameters) {
    Document document(body);
    if (!document) {
        return;
    }
    Arena arena;
    RawJson schema = gemini::rewrite_schema(document.root(), is_parameters, {}, arena);
    require(schema.empty() || Document(schema.bytes));
    require(schema.bytes.size() < (16u << 20) + 16 * body.size());
}

// --- answers --------------------------------------------------------------------------------

ClientView view_of(uint8_t bits, Ids &ids) {
    ClientView view;
    view.ids = &ids;
    view.now = 1700000000;
    view.model = "shown";
    view.usage_wanted = (bits & 1) != 0;
    view.show_reasoning = (bits & 2) == 0;
    view.legacy_functions = (bits & 4) != 0;
    view.json_tool = (bits & 8) != 0;
    view.json_array = (bits & 16) != 0;
    return view;
}

void fuzz_answer(std::string_view body, uint8_t bits) {
    Document document(body, kAnswerLimits);
    if (!document) {
        return;
    }
    Usage usage;
    JsonText model;
    JsonText finish;
    kGemini.observe_response(document.root(), usage, model, finish);
    Arena arena;
    ir::Response response;
    if (!kGemini.parse_response(document.root(), arena, response)) {
        return;
    }
    require(!response.choices.empty());
    for (const Dialect *client : dialects()) {
        if (!client->is_client()) {
            continue;
        }
        Ids ids;
        Arena out_arena;
        ByteBuffer out;
        json::Writer writer(out);
        client->render_response(response, view_of(bits, ids), out_arena, writer);
        require(static_cast<bool>(Document(out.view(), kAnswerLimits)));
    }
    check::EventLog log(DialectId::gemini);
    ir::replay(response, log);
    require(log.problems().empty() && log.answer().is_complete);
}

// --- streams --------------------------------------------------------------------------------

template <class NextCut>
void decode(std::string_view stream, ir::EventSink &sink, NextCut next_cut) {
    std::unique_ptr<Decoder> decoder = kGemini.make_decoder();
    for (size_t at = 0; at < stream.size();) {
        size_t size = next_cut(stream.size() - at);
        std::vector<char> piece(stream.begin() + long(at), stream.begin() + long(at + size));
        piece.resize(size + json::kPadding, '"');
        decoder->feed({piece.data(), size}, sink);
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

struct Frames : wire::SseHandler {
    Status on_sse(const wire::SseEvent &frame) override {
        require(!frame.has_data || frame.data == "[DONE]" || Document(frame.data, kAnswerLimits));
        return {};
    }
};

void fuzz_stream(std::string_view stream, uint8_t bits) {
    auto all = [](size_t left) { return left; };
    check::EventLog whole(DialectId::gemini);
    decode(stream, whole, all);
    require(whole.problems().empty());
    check::EventLog bytes(DialectId::gemini);
    decode(stream, bytes, [](size_t) { return size_t{1}; });
    require(bytes.transcript() == whole.transcript());
    uint32_t state = bits + 1u;
    check::EventLog cut(DialectId::gemini);
    decode(stream, cut, [&](size_t left) {
        state = state * 1664525u + 1013904223u;
        size_t size = 1 + (state >> 24) % 61;
        return size < left ? size : left;
    });
    require(cut.transcript() == whole.transcript());

    for (const Dialect *client : dialects()) {
        if (!client->is_client()) {
            continue;
        }
        Ids ids;
        Encoding encoding;
        encoding.encoder = client->make_encoder(view_of(bits, ids));
        decode(stream, encoding, all);
        std::string out(encoding.out.view());
        if (client == &kGemini && (bits & 16) != 0) {
            require(static_cast<bool>(Document(out, kAnswerLimits)));
            continue;
        }
        out.append(json::kPadding, ' ');
        Frames frames;
        wire::SseSplitter splitter;
        require(
            static_cast<bool>(splitter.feed({out.data(), out.size() - json::kPadding}, frames)));
    }
    fuzz::observe(kGemini, stream, {.hide_usage = (bits & 1) != 0});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    uint8_t bits = data[1];
    std::string_view input(reinterpret_cast<const char *>(data) + 2, size - 2);
    switch (data[0] % 7) {
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
        case 4:
            fuzz_schema(input, (bits & 1) != 0);
            break;
        case 5:
            fuzz_foreign_request(input, target_of(bits), kOpenAi);
            break;
        case 6:
            fuzz_foreign_request(input, target_of(bits), kAnthropic);
            break;
    }
    return 0;
}
