// Fuzz target of the SSE splitter: whole, byte by byte and cut at places that the input chooses,
// a stream gives the same events or the same refusal, and the raw bytes of the events together
// are the stream. The first two bytes choose the size limit and the cuts.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "t/fuzz/require.hpp"
#include "translators/json/reader.hpp"
#include "translators/wire/sse.hpp"

namespace {

using llm::fuzz::require;

struct Recorder : llm::wire::SseHandler {
    llm::Status on_sse(const llm::wire::SseEvent &event) override {
        raws.append(event.raw);
        for (std::string_view piece : {event.name, event.data, event.raw}) {
            events.append(std::to_string(piece.size())).append(1, ':').append(piece);
        }
        events.append(event.has_data ? "+" : "-");
        require(event.has_data || event.data.empty());
        // Behind the data the reader of JSON may look.
        for (size_t i = 0; event.has_data && i < llm::json::kPadding; ++i) {
            sum = static_cast<unsigned char>(sum + event.data.data()[event.data.size() + i]);
        }
        return {};
    }

    std::string raws;
    std::string events;
    unsigned char sum = 0;
};

struct Outcome {
    std::string raws;
    std::string events;
    bool is_refused = false;

    bool operator==(const Outcome &) const = default;
};

template <class NextCut>
Outcome split(std::string_view stream, size_t limit, NextCut next_cut) {
    llm::wire::SseSplitter splitter(limit);
    Recorder recorder;
    bool is_refused = false;
    for (size_t at = 0; at < stream.size() && !is_refused;) {
        size_t size = next_cut(stream.size() - at);
        std::vector<char> piece(stream.begin() + static_cast<ptrdiff_t>(at),
                                stream.begin() + static_cast<ptrdiff_t>(at + size));
        piece.resize(size + llm::json::kPadding, '\n');
        is_refused = !splitter.feed({piece.data(), size}, recorder);
        at += size;
    }
    if (!is_refused) {
        require(static_cast<bool>(splitter.finish(recorder)));
        require(splitter.at_boundary());
        require(recorder.raws == stream);
    }
    return {recorder.raws, recorder.events, is_refused};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    size_t limit = data[0] < 128 ? size_t{1} << 20 : data[0] - 127u;
    uint32_t state = data[1] + 1u;
    std::string_view stream(reinterpret_cast<const char *>(data) + 2, size - 2);

    Outcome whole = split(stream, limit, [](size_t left) { return left; });
    require(whole == split(stream, limit, [](size_t) { return size_t{1}; }));
    require(whole == split(stream, limit, [&](size_t left) {
                state = state * 1664525u + 1013904223u;
                size_t cut = 1 + (state >> 24) % 17;
                return cut < left ? cut : left;
            }));
    return 0;
}
