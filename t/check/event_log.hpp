// A sink of ir events that writes them down, assembles the answer they make, and holds them to the
// contract of ir::EventKind: start first, blocks numbered in order, one finish for each choice,
// one end or one error and nothing behind it.
#pragma once

#include <string>
#include <vector>

#include "t/check/answer.hpp"
#include "translators/core/ir.hpp"

namespace llm::check {

class EventLog final : public ir::EventSink {
  public:
    explicit EventLog(DialectId origin) { answer_.origin = origin; }

    void on_event(const ir::StreamEvent &event) override;

    // One line for each event, keep-alives left out: equal transcripts are equal streams.
    const std::string &transcript() const { return transcript_; }
    // Valid after the decoder's finish().
    Answer answer() const;
    const Problems &problems() const { return problems_; }
    size_t events() const { return events_; }

  private:
    struct Block {
        ir::BlockKind kind;
        uint32_t choice;
        std::string id, name;
        std::string text, signature, redacted;  // escaped, as the fragments came
        bool is_open = true;
    };

    void problem(std::string_view what);
    void write(const ir::StreamEvent &event);
    Block *open_block(const ir::StreamEvent &event);
    void add_block(const ir::StreamEvent &event);

    std::string transcript_;
    std::vector<Block> blocks_;
    Answer answer_;
    Problems problems_;
    size_t events_ = 0;
    bool is_over_ = false;
    bool is_started_ = false;
};

}  // namespace llm::check
