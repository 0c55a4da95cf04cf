// The decoder of a Responses stream, for its two files: responses_decoder.cpp follows the events
// and items, responses_blocks.cpp makes blocks of texts, reasoning and calls.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/responses.hpp"
#include "translators/dialect/responses_answer.hpp"

namespace llm::responses {

constexpr uint32_t kNoStreamBlock = UINT32_MAX;
constexpr size_t kMaxKeptId = 512;  // of the answer's id and of a reasoning item's

enum class ItemType : uint8_t { message, reasoning, call, custom_call, hosted };
enum class PartType : uint8_t { text, refusal, summary, thoughts };

struct PartState {
    PartType kind = PartType::text;
    int64_t index = 0;
    uint32_t block = kNoStreamBlock;  // of texts and refusals
    bool is_closed = false;
    uint32_t cited = 0;   // annotations that went out
    size_t held = 0;      // bytes that repeat the commentary so far and were held back
    uint64_t length = 0;  // of what went out
};

struct ItemState {
    int64_t index = 0;
    ItemType kind = ItemType::message;
    uint32_t block = kNoStreamBlock;  // of reasoning and calls
    Phase phase = Phase::none;
    bool is_done = false;
    bool has_text = false;           // reasoning: the next summary part is a new paragraph
    std::optional<PartType> source;  // reasoning: summary or thoughts, never both
    uint64_t length = 0;             // of arguments
    std::string id;                  // reasoning: of the item; calls: of the call
    std::string early;               // arguments that came before the name
    std::vector<PartState> parts;
};

class ResponsesDecoder final : public JsonStream, private wire::SseHandler {
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
    void on_json(json::Value root, std::string_view data, bool is_error) override;
    void on_event(json::Value type, json::Value event);
    void on_item_added(json::Value event);
    void on_item_done(int64_t index, json::Value item);
    void on_message_done(ItemState &item, json::Value value);
    void on_reasoning_done(ItemState &item, json::Value value);
    void on_call_done(ItemState &item, json::Value value);
    void on_hosted_done(json::Value value);
    void on_part(json::Value event, PartType kind, JsonText text, bool is_whole);
    void on_part_done(json::Value event);
    void on_annotation(json::Value event);
    void on_arguments(json::Value event, ItemType kind, json::Value text, bool is_whole);
    void on_terminal(json::Value response);

    int64_t index_of(json::Value event) const;
    ItemState *find(int64_t index);
    ItemState *item_of(int64_t index, ItemType kind);
    PartState *part_of(ItemState &item, PartType kind, int64_t index);

    void give(ItemState &item, PartState &part, JsonText text, bool is_whole);
    bool is_repeated(const ItemState &item, PartState &part, JsonText text);
    void release(PartState &part);
    void open_part(PartState &part);
    void cite(PartState &part, json::Value annotation);
    void cite_rest(PartState &part, json::Value annotations);
    void close_part(PartState &part);
    void close_spoken();
    void close_thought();
    void take_item_id(ItemState &item, json::Value value);
    void open_reasoning(ItemState &item);
    void open_call(ItemState &item, JsonText id, JsonText name);
    void give_arguments(ItemState &item, json::Value text, bool is_whole);
    void start(json::Value response);
    void take_usage(json::Value response);
    void send(ir::EventKind kind, ir::BlockKind block_kind, uint32_t block, JsonText text = {});
    void fail_as(json::Value error, std::string_view body) {
        fail(read_error(0, error, body, arena_));
    }

    wire::SseSplitter splitter_;
    std::vector<ItemState> items_;
    std::string answer_id_;
    std::string commentary_;  // what was said in it
    Usage usage_;
    size_t early_ = 0;  // bytes that wait for names
    size_t parts_ = 0;
    uint32_t next_block_ = 0;
    uint32_t spoken_ = kNoStreamBlock;   // the open text or refusal: one at a time, so that
    uint32_t thought_ = kNoStreamBlock;  // their order is that of their coming; and of reasoning
    ir::BlockKind spoken_kind_ = ir::BlockKind::text;
    uint32_t calls_ = 0;
    bool has_text_ = false;
    bool has_refusal_ = false;
    bool has_answer_ = false;  // text of the final answer came: no more is held back
    bool is_started_ = false;
};

}  // namespace llm::responses
