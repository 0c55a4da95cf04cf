// Fuzz target of the splitter of AWS event streams: whole, byte by byte and cut at places that the
// input chooses, a stream gives the same messages or the same refusal, and the raw bytes of the
// messages together are the stream. The first byte says whether check sums are made right (no
// input would get behind them otherwise), the second chooses the cuts.
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "t/fuzz/require.hpp"
#include "translators/json/reader.hpp"
#include "translators/wire/aws_eventstream.hpp"

namespace {

constexpr size_t kMaxMessage = 4096;

using llm::fuzz::require;

void put_sum(std::string &stream, size_t begin, size_t end) {
    auto sum = crc32(0, reinterpret_cast<const Bytef *>(stream.data() + begin),
                     static_cast<uInt>(end - begin));
    for (size_t i = 0; i < 4; ++i) {
        stream[end + i] = static_cast<char>(sum >> (24 - 8 * i) & 0xff);
    }
}

void correct_sums(std::string &stream) {
    for (size_t at = 0; stream.size() - at >= 16;) {
        stream[at] = stream[at + 1] = 0;
        size_t size = static_cast<size_t>(static_cast<unsigned char>(stream[at + 2])) << 8 |
                      static_cast<unsigned char>(stream[at + 3]);
        put_sum(stream, at, at + 8);
        if (size < 16 || size > stream.size() - at) {
            return;
        }
        put_sum(stream, at, at + size - 4);
        at += size;
    }
}

struct Recorder : llm::wire::AwsHandler {
    llm::Status on_aws(const llm::wire::AwsMessage &message) override {
        raws.append(message.raw);
        require(message.raw.size() >= 16 && message.raw.size() <= kMaxMessage);
        for (std::string_view piece : {message.name, message.error_text, message.payload}) {
            messages.append(std::to_string(piece.size())).append(1, ':').append(piece);
        }
        messages.push_back(static_cast<char>('0' + static_cast<int>(message.kind)));
        // Behind the payload the reader of JSON may look.
        for (size_t i = 0; i < llm::json::kPadding; ++i) {
            sum = static_cast<unsigned char>(sum +
                                             message.payload.data()[message.payload.size() + i]);
        }
        return {};
    }

    std::string raws;
    std::string messages;
    unsigned char sum = 0;
};

struct Outcome {
    std::string raws;
    std::string messages;
    bool is_refused = false;
    bool is_whole = false;

    bool operator==(const Outcome &) const = default;
};

template <class NextCut>
Outcome split(std::string_view stream, NextCut next_cut) {
    llm::wire::AwsSplitter splitter(kMaxMessage);
    Recorder recorder;
    bool is_refused = false;
    for (size_t at = 0; at < stream.size() && !is_refused;) {
        size_t size = next_cut(stream.size() - at);
        std::vector<char> piece(stream.begin() + static_cast<ptrdiff_t>(at),
                                stream.begin() + static_cast<ptrdiff_t>(at + size));
        piece.resize(size + llm::json::kPadding, '\n');
        is_refused = !splitter.feed({piece.data(), size}, recorder);
        require(splitter.memory() <= 2 * kMaxMessage + 2 * llm::json::kPadding);
        at += size;
    }
    bool is_whole = static_cast<bool>(splitter.finish());
    require(!is_refused || !is_whole);
    require(is_refused || is_whole == splitter.at_boundary());
    require(stream.starts_with(recorder.raws));
    require(!is_whole || recorder.raws == stream);
    return {recorder.raws, recorder.messages, is_refused, is_whole};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    uint32_t state = data[1] + 1u;
    std::string stream(reinterpret_cast<const char *>(data) + 2, size - 2);
    if (data[0] % 4 != 0) {
        correct_sums(stream);
    }

    Outcome whole = split(stream, [](size_t left) { return left; });
    require(whole == split(stream, [](size_t) { return size_t{1}; }));
    require(whole == split(stream, [&](size_t left) {
                state = state * 1664525u + 1013904223u;
                size_t cut = 1 + (state >> 24) % 17;
                return cut < left ? cut : left;
            }));
    return 0;
}
