// ir events -> the answer of a Responses client, as a stream or (with the events of a replay) as
// one body. What both share is the list of output items that the last object repeats.
#pragma once

#include <string>
#include <vector>

#include "translators/dialect/custom_input.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/dialect/responses_reply.hpp"

namespace llm::responses {

class ResponsesEncoder final : public Encoder {
  public:
    enum class Form : uint8_t { stream, body };

    ResponsesEncoder(const ClientView &view, Form form);

    void event(const ir::StreamEvent &event, ByteBuffer &out) override;
    void ping(ByteBuffer &out) override;
    void error(const ApiError &error, ByteBuffer &out) override;

    // Form::body: the whole answer, once its last event came.
    void write_body(json::Writer &writer);

  private:
    // Where the fragments of a block go.
    struct Slot {
        enum class State : uint8_t { unknown, waiting, open, closed };
        State state = State::unknown;
        ir::BlockKind kind = ir::BlockKind::text;
        bool is_output = false;              // text that came as the arguments of kJsonTool
        std::unique_ptr<CustomInput> input;  // a free text tool that the provider has not
        uint32_t item = 0;
        uint32_t part = 0;
        std::string id;  // reasoning: of the item, until there is one
    };

    // responses_encoder.cpp: events
    void start(const ir::StreamEvent &event, ByteBuffer &out);
    void open(const ir::StreamEvent &event, ByteBuffer &out);
    void open_call(const ir::StreamEvent &event, Slot &slot, ByteBuffer &out);
    void open_whole(const ir::StreamEvent &event, ByteBuffer &out);
    void delta(const ir::StreamEvent &event, ByteBuffer &out);
    void sign(const ir::StreamEvent &event, ByteBuffer &out);
    void redacted(const ir::StreamEvent &event, ByteBuffer &out);
    void cite(const ir::StreamEvent &event, ByteBuffer &out);
    void logprobs(const ir::StreamEvent &event, ByteBuffer &out);
    void close(uint32_t block, ByteBuffer &out);
    void end(ByteBuffer &out);
    void refuse_without_words(ByteBuffer &out);

    // responses_encoder_items.cpp: items and parts
    uint32_t add_item(ItemKind kind, ByteBuffer &out);
    uint32_t add_message(ByteBuffer &out);
    void add_reasoning(Slot &slot, ByteBuffer &out);
    uint32_t add_part(uint32_t item, PartKind kind, ByteBuffer &out);
    void grow_part(uint32_t item, uint32_t part, JsonText text, ByteBuffer &out);
    void add_annotation(uint32_t item, uint32_t part, std::string_view json, ByteBuffer &out);
    void close_part(uint32_t item, uint32_t part, ByteBuffer &out);
    void announce(uint32_t item, ByteBuffer &out);
    void settle(ByteBuffer &out);
    void finish_or_wait(uint32_t item, ByteBuffer &out);
    void finish_item(uint32_t item, ByteBuffer &out);
    bool hold(size_t bytes, ByteBuffer &out);

    // responses_encoder_items.cpp: frames
    void begin_frame(std::string_view type, ByteBuffer &out);
    void response_frame(std::string_view type, std::string_view status, ByteBuffer &out);
    void item_frame(std::string_view type, uint32_t item, ByteBuffer &out);
    void part_frame(std::string_view type, const ReplyPart &part, bool is_fresh, ByteBuffer &out);
    void write_object(std::string_view status, json::Writer &writer);

    bool is_stream() const { return form_ == Form::stream; }

    ClientView view_;
    Form form_;
    bool shows_encrypted_;
    bool shows_summary_;
    std::string model_;
    std::string id_;
    int64_t created_ = 0;
    ReplyIds ids_;
    ByteBuffer echo_;  // members of the response object that repeat the request
    int64_t sequence_ = 0;
    std::vector<ReplyItem> items_;
    std::vector<Slot> slots_;
    uint32_t unsettled_;     // an item without open parts that was not declared done yet
    size_t held_bytes_ = 0;  // of everything that the last object repeats
    json::Reader reader_;
    ByteBuffer scratch_;
    Usage usage_;
    ErrorClass failure_class_ = ErrorClass::upstream;
    std::string failure_message_;
    bool has_failed_ = false;
    ir::Finish finish_ = ir::Finish::stop;
    bool has_finish_ = false;
    bool is_started_ = false;
    bool is_ended_ = false;
};

}  // namespace llm::responses
