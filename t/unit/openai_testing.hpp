// What the tests of the chat dialect share: documents that stay alive, and streams written down
// as one line an event.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "translators/dialect/dialect.hpp"

namespace llm::openai_testing {

// Bytes in an allocation of their own, readable past their end as the library demands.
class Padded {
  public:
    explicit Padded(std::string_view bytes) : bytes_(bytes), size_(bytes.size()) {
        bytes_.append(json::kPadding, '\0');
    }
    std::string_view view() const { return {bytes_.data(), size_}; }

  private:
    std::string bytes_;
    size_t size_;
};

// A parsed document.
class Document {
  public:
    explicit Document(std::string_view text) : bytes_(text) {
        json::Limits limits;
        limits.allow_lone_surrogates = true;
        Result<json::Value> parsed = reader_.parse(bytes_.view(), limits);
        EXPECT_TRUE(parsed) << text;
        if (parsed) {
            root_ = *parsed;
        }
    }
    json::Value root() const { return root_; }

  private:
    Padded bytes_;
    json::Reader reader_;
    json::Value root_;
};

struct Ids final : IdSource {
    uint64_t next() override { return ++last; }
    uint64_t last = 0;
};

inline std::string_view name_of(ir::BlockKind kind) {
    constexpr std::string_view kNames[] = {"text",    "reasoning", "tool",
                                           "refusal", "image",     "opaque"};
    return kNames[static_cast<size_t>(kind)];
}

inline std::string_view name_of(ir::Finish finish) {
    constexpr std::string_view kNames[] = {
        "stop",    "stop_sequence", "length",    "context_length", "tool_calls", "content_filter",
        "refusal", "pause",         "malformed", "error",          "other"};
    return kNames[static_cast<size_t>(finish)];
}

// One line an event: what a reader of the stream would say happened.
class Script : public ir::EventSink {
  public:
    void on_event(const ir::StreamEvent &event) override {
        std::string line;
        if (event.choice != 0) {
            line += "#" + std::to_string(event.choice) + " ";
        }
        std::string block = std::to_string(event.block);
        auto add = [&line](std::string_view text) { line += text; };
        switch (event.kind) {
            case ir::EventKind::start:
                add("start ");
                add(event.id.bytes);
                add(" ");
                add(event.name.bytes);
                break;
            case ir::EventKind::open:
                add("open " + block + " ");
                add(name_of(event.block_kind));
                if (event.block_kind == ir::BlockKind::tool) {
                    add(" ");
                    add(event.id.bytes);
                    add(" ");
                    add(event.name.bytes);
                }
                break;
            case ir::EventKind::delta:
                add("delta " + block + " ");
                add(event.text.bytes);
                break;
            case ir::EventKind::signature:
                add("signature " + block + " ");
                add(event.text.bytes);
                break;
            case ir::EventKind::redacted:
                add("redacted " + block + " ");
                add(event.text.bytes);
                break;
            case ir::EventKind::cite:
                add("cite " + block + " ");
                add(event.raw.bytes);
                break;
            case ir::EventKind::close:
                add("close " + block);
                break;
            case ir::EventKind::logprobs:
                add("logprobs ");
                add(event.raw.bytes);
                break;
            case ir::EventKind::usage:
                add("usage " + std::to_string(event.usage->input) + "+" +
                    std::to_string(event.usage->output));
                break;
            case ir::EventKind::finish:
                add("finish ");
                add(name_of(event.finish));
                add(" (");
                add(event.native.bytes);
                add(")");
                if (!event.stop_sequence.empty()) {
                    add(" at ");
                    add(event.stop_sequence.bytes);
                }
                break;
            case ir::EventKind::end:
                add("end");
                break;
            case ir::EventKind::error:
                add("error ");
                add(spelling(event.error_class).name);
                break;
            case ir::EventKind::ping:
                add("ping");
                break;
        }
        lines.push_back(line);
    }

    std::vector<std::string> lines;
};

inline std::vector<std::string> decode_pieces(const std::vector<std::string_view> &pieces,
                                              const Dialect &dialect = kOpenAi) {
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
inline std::vector<std::string> decode(std::string_view stream, const Dialect &dialect = kOpenAi) {
    std::vector<std::string> lines = decode_pieces({stream}, dialect);
    std::vector<std::string_view> bytes;
    for (size_t i = 0; i < stream.size(); ++i) {
        EXPECT_EQ(decode_pieces({stream.substr(0, i), stream.substr(i)}, dialect), lines)
            << "cut at " << i;
        bytes.push_back(stream.substr(i, 1));
    }
    EXPECT_EQ(decode_pieces(bytes, dialect), lines);
    return lines;
}

// A stream of chunks: each argument is what one chunk has besides its id and model.
inline std::string stream_of(const std::vector<std::string> &chunks, bool done = true) {
    std::string stream;
    for (const std::string &chunk : chunks) {
        stream += "data: {\"id\":\"a\",\"model\":\"m\"," + chunk + "}\n\n";
    }
    return done ? stream + "data: [DONE]\n\n" : stream;
}

// A chunk whose only choice has this delta.
inline std::string delta(std::string_view members, std::string_view finish = "null") {
    return "\"choices\":[{\"index\":0,\"delta\":{" + std::string(members) +
           "},\"finish_reason\":" + std::string(finish) + "}]";
}

}  // namespace llm::openai_testing
