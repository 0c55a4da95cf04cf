// What the messages of chat-like requests have in common that are rendered from scratch (Cohere,
// Ollama): the order of turns and results, system texts, what of a turn is text. A dialect derives
// and says how a message of each kind looks.
#pragma once

#include <vector>

#include "translators/dialect/function_tools.hpp"
#include "translators/dialect/turn_walk.hpp"

namespace llm {

class ChatMessages {
  public:
    // The list of all messages. Results follow the turn that made the calls, one for each call in
    // the order of the calls.
    Status write();

  protected:
    explicit ChatMessages(const RenderJob &job)
        : job_(job), request_(job.request), writer_(job.writer) {}
    ~ChatMessages() = default;

    virtual Status write_user(const ir::Turn &turn) = 0;
    virtual void write_assistant(const ir::Turn &turn) = 0;
    virtual Status write_result(const AnsweredCall &answered) = 0;
    // Behind the results of one turn.
    virtual void end_results() {}

    // What a turn of the assistant has; names what it leaves out.
    struct Spoken {
        bool has_text = false;
        bool has_calls = false;
        bool has_thoughts = false;  // with text in them
    };
    Spoken look_at(const ir::Turn &turn) const;
    // Its text, into an open string; nothing stands between the blocks: they may be one sentence,
    // cut where a citation ends.
    void write_spoken(const ir::Turn &turn);
    // The text of one part, into an open string.
    void write_text(const ir::Part &part);
    // In front of a failed result's text, unless that says it by itself.
    void write_error_mark(const ir::ToolResult &result, const ir::Part *first);

    // Text, also as base64 of a text type.
    bool is_text_document(const ir::Part &part, const ir::Document &document) const;
    bool is_cited(const ir::Document &document);
    // Opaque parts that have no form here.
    Status leave_out(const ir::Opaque &opaque) const;
    // Anything to say but results (or nothing at all)?
    static bool has_message(const ir::Turn &turn);

    const RenderJob &job_;
    const ir::Request &request_;
    json::Writer &writer_;

  private:
    friend struct ChatMessagesWalk;
    void write_system(const Texts &texts);
    Status write_results(const Step &step);

    json::Reader reader_;
    PartText text_;
};

}  // namespace llm
