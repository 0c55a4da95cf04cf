// What the tests of dialects share that only providers speak: streams decoded however they are
// cut, and requests of chat and messages clients as such a provider is sent them.
#pragma once

#include "t/unit/openai_testing.hpp"
#include "translators/provider/model_traits.hpp"

namespace llm::provider_testing {

using openai_testing::Document;
using openai_testing::Padded;
using openai_testing::Script;
using Lines = std::vector<std::string>;

inline Lines decode_pieces(const Dialect &dialect, const std::vector<std::string_view> &pieces) {
    std::unique_ptr<Decoder> decoder = dialect.make_decoder();
    Script script;
    for (std::string_view piece : pieces) {
        Padded bytes(piece);
        decoder->feed(bytes.view(), script);
    }
    decoder->finish(script);
    EXPECT_TRUE(decoder->ended());
    return script.lines;
}

// Decodes a stream whole, cut in two at every byte, and byte by byte.
inline Lines decode(const Dialect &dialect, std::string_view stream) {
    Lines lines = decode_pieces(dialect, {stream});
    std::vector<std::string_view> bytes;
    for (size_t i = 0; i < stream.size(); ++i) {
        EXPECT_EQ(decode_pieces(dialect, {stream.substr(0, i), stream.substr(i)}), lines)
            << "cut at " << i;
        bytes.push_back(stream.substr(i, 1));
    }
    EXPECT_EQ(decode_pieces(dialect, bytes), lines);
    return lines;
}

// A whole answer with everything it points into.
struct Answered {
    Answered(const Dialect &dialect, std::string_view body) : document(body) {
        status = dialect.parse_response(document.root(), arena, response);
    }
    const std::vector<ir::Part> &parts() const { return response.choices.at(0).parts; }
    template <class T>
    const T &part(size_t index) const {
        static const T kNone{};
        const T *found = index < parts().size() ? std::get_if<T>(&parts()[index].is) : nullptr;
        EXPECT_NE(found, nullptr) << "part " << index;
        return found != nullptr ? *found : kNone;
    }

    Document document;
    Arena arena;
    ir::Response response;
    Status status;
};

// What a provider is sent for a client's body: the body, and what was left out.
struct Sent {
    std::string body;  // "refused NAME" where it cannot be said
    std::string dropped;
    Notes notes;
};

inline Sent send(const Dialect &client, const Dialect &provider, std::string_view model,
                 std::string_view body, bool drop_params = false) {
    Sent sent;
    Document document(body);
    Arena arena;
    ir::Request request;
    Status parsed = client.parse_request(document.root(), arena, request);
    EXPECT_TRUE(parsed) << parsed.error().what << " " << parsed.error().param;
    Target target;
    target.model = model;
    target.traits = model_traits(provider.id, model, true);
    target.drop_params = drop_params;
    ByteBuffer out;
    json::Writer writer(out);
    Status status = provider.render_request(request, target, arena, writer, sent.notes);
    if (!status) {
        sent.body = "refused " + std::string(status.error().param);
        return sent;
    }
    Document valid(out.view());
    sent.body = out.view();
    for (std::string_view name : sent.notes.dropped) {
        sent.dropped += (sent.dropped.empty() ? "" : " ") + std::string(name);
    }
    sent.notes = {};  // it points into what ends here
    return sent;
}

// The raw value of one member of a body.
inline std::string member(const std::string &body, std::string_view name) {
    Document document(body);
    return std::string(document.root()[name].raw().bytes);
}

}  // namespace llm::provider_testing
