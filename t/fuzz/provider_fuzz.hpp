// Fuzzes a dialect that only providers speak. The first byte says how:
//   0  a stream: every cut gives the same events, by the rules of events, and one end
//   1  a whole answer: what can be parsed can be replayed and rendered for a client
//   2  a chat request for the provider: what can be rendered is JSON without a member twice
//   3  the same from a messages client
// The second byte gives the size of the pieces, or the model and flags of the target.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "t/check/event_log.hpp"
#include "t/fuzz/require.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/provider/model_traits.hpp"

namespace llm::fuzz {

inline void feed(Decoder &decoder, std::string_view bytes, ir::EventSink &sink) {
    std::string copy(bytes);
    copy.append(json::kPadding, '}');
    decoder.feed({copy.data(), bytes.size()}, sink);
}

inline void stream(const Dialect &dialect, std::string_view bytes, uint8_t flags) {
    check::EventLog whole(dialect.id);
    auto decoder = dialect.make_decoder();
    feed(*decoder, bytes, whole);
    decoder->finish(whole);
    require(decoder->ended());
    require(whole.problems().empty());

    check::EventLog cut(dialect.id);
    auto other = dialect.make_decoder();
    size_t step = size_t{1} + flags;
    for (size_t at = 0; at < bytes.size(); at += step) {
        feed(*other, bytes.substr(at, step), cut);
    }
    other->finish(cut);
    require(cut.transcript() == whole.transcript());
}

inline void answer(const Dialect &dialect, std::string_view bytes) {
    json::Reader reader;
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    Result<json::Value> root = reader.parse_unpadded(bytes, limits);
    Arena arena;
    ir::Response response;
    if (!root || !dialect.parse_response(*root, arena, response)) {
        return;
    }
    require(response.choices.size() == 1);
    check::EventLog log(dialect.id);
    ir::replay(response, log);
    require(log.problems().empty());
    ByteBuffer out;
    json::Writer writer(out);
    kOpenAi.render_response(response, {}, arena, writer);
    json::Reader again;
    require(bool(again.parse_unpadded(out.view(), limits)));
}

inline void request(const Dialect &client, const Dialect &dialect, std::string_view model,
                    std::string_view bytes, uint8_t flags) {
    json::Reader reader;
    Result<json::Value> root = reader.parse_unpadded(bytes);
    Arena arena;
    ir::Request parsed;
    if (!root || !client.parse_request(*root, arena, parsed)) {
        return;
    }
    Target target;
    target.model = model;
    target.traits = model_traits(dialect.id, model, true);
    target.drop_params = (flags & 1) != 0;
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    if (!dialect.render_request(parsed, target, arena, writer, notes)) {
        return;
    }
    json::Reader again;
    Result<json::Value> rendered = again.parse_unpadded(out.view());
    require(bool(rendered));
    require(json::duplicate_key(*rendered).empty());
    require((*rendered)["stream"].is_bool() && (*rendered)["messages"].is_array());
}

inline int run(const Dialect &dialect, std::string_view model, std::string_view other_model,
               const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    std::string_view bytes(reinterpret_cast<const char *>(data) + 2, size - 2);
    std::string_view asked = (data[1] & 2) != 0 ? model : other_model;
    switch (data[0] % 4) {
        case 0:
            stream(dialect, bytes, data[1]);
            break;
        case 1:
            answer(dialect, bytes);
            break;
        case 2:
            request(kOpenAi, dialect, asked, bytes, data[1]);
            break;
        default:
            request(kAnthropic, dialect, asked, bytes, data[1]);
            break;
    }
    return 0;
}

}  // namespace llm::fuzz
