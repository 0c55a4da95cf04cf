// The chat decoder's state, for its two files: openai_decoder.cpp (frames, text, the end) and
// openai_decoder_calls.cpp (tool calls).
#pragma once

#include <string>
#include <vector>

#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/openai.hpp"
#include "translators/dialect/openai_scan.hpp"
#include "translators/dialect/reasoning_details.hpp"

namespace llm::openai {

using ir::BlockKind;
using ir::ErrorClass;
using ir::EventKind;
using ir::StreamEvent;
using json::Value;

constexpr int64_t kFunctionKey = -1;
constexpr uint32_t kNoBlock = UINT32_MAX;

struct DecodedCall {
    int64_t key = 0;
    uint32_t block = kNoBlock;
    uint32_t ordinal = 0;
    bool is_closed = false;
    bool has_arguments = false;
    bool is_custom = false;  // free text
    std::string id;
    std::string name;
    std::string early;  // arguments that came before the name
    std::string signature;
    ArgumentScan scan;

    bool is_opened() const { return block != kNoBlock; }
};

struct DecodedChoice {
    int64_t index = 0;
    uint32_t block = kNoBlock;  // the open text, reasoning or refusal block
    BlockKind block_kind = BlockKind::text;
    DetailMark mark;  // of the open reasoning block, where it is one of reasoning_details
    uint32_t text_blocks = 0;
    bool is_finished = false;
    size_t last_tool = 0;
    std::vector<DecodedCall> tools;
    std::string native;
    std::string stop_sequence;
};

class ChatDecoder final : public JsonStream, private wire::SseHandler {
  public:
    void feed(std::string_view bytes, ir::EventSink &sink) override {
        feed_by([&] { return splitter_.feed(bytes, *this); }, sink);
    }
    void finish(ir::EventSink &sink) override {
        finish_by([&] { return splitter_.finish(*this); }, sink);
    }
    size_t memory() const override;

  private:
    Status on_sse(const wire::SseEvent &frame) override { return on_frame(frame); }
    void on_json(Value root, std::string_view data, bool is_error) override;
    void on_done_mark() override { complete(); }
    void on_input_end() override;
    void on_chunk(Value chunk);
    void on_choice(Value choice);
    void on_delta(DecodedChoice &choice, Value delta);
    void on_content(DecodedChoice &choice, Value content);
    void on_image(DecodedChoice &choice, Value element);
    void on_details(DecodedChoice &choice, Value details);
    void on_hidden_detail(DecodedChoice &choice, Value detail);
    void sign_block(DecodedChoice &choice);
    void on_call(DecodedChoice &choice, Value call, uint32_t position);
    void on_function(DecodedChoice &choice, DecodedCall &tool, JsonText id, JsonText name,
                     Value arguments);

    DecodedCall *find_tool(DecodedChoice &choice, Value call, Value function, uint32_t position);
    DecodedCall *add_tool(DecodedChoice &choice, int64_t key);
    void take_name(DecodedCall &tool, JsonText name);
    void open_tool(DecodedChoice &choice, DecodedCall &tool);
    void google_block(DecodedChoice &choice, JsonText signature);
    void cite_addresses(Value chunk);
    void emit_addresses(DecodedChoice &choice);
    void open_named_tools(DecodedChoice &choice);
    void close_whole_tools(DecodedChoice &choice, const DecodedCall *except);

    void text(DecodedChoice &choice, BlockKind kind, JsonText text);
    void ensure_block(DecodedChoice &choice, BlockKind kind);
    void make_way(DecodedChoice &choice);
    void open_block(DecodedChoice &choice, BlockKind kind);
    void close_block(DecodedChoice &choice);
    void start(Value chunk);
    void complete();
    void fail_as(Value root, std::string_view body) { fail(read_error(0, root, body, arena_)); }

    wire::SseSplitter splitter_;
    std::vector<DecodedChoice> choices_;
    std::string answer_id_;
    std::vector<std::pair<std::string, std::string>> addresses_;  // and titles
    Usage usage_;
    uint32_t next_block_ = 0;
    uint32_t tool_count_ = 0;
    bool has_annotations_ = false;
    bool is_started_ = false;
};

}  // namespace llm::openai
