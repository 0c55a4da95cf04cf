// A translated stream that can go on with another provider's answer when the first one broke
// (llm_recover). It remembers the text that the client has; of the new answer that part is left
// out, provided that it is the same, and what follows goes into the client's stream as if nothing
// had happened. Only text is recovered: where anything else was sent the break stays a break.
#pragma once

#include <string>
#include <vector>

#include "ngx_llm_module/stream/translating_relay.hpp"

namespace llm {

class RecoverableRelay final : public TranslatingRelay {
  public:
    using TranslatingRelay::TranslatingRelay;

    bool can_recover() const { return is_plain_ && !is_finished_; }
    // The text that the client has; plain.
    std::string_view sent() const { return sent_; }
    // A new answer comes: all of it, or what follows the text that was sent. Not everybody who is
    // asked to go on does: an answer that begins as the sent text did is all of it after all.
    void begin_again(std::unique_ptr<Decoder> decoder, bool is_continued);
    // The new answer has brought something.
    bool is_alive() const { return is_alive_; }

  private:
    void on_event(const ir::StreamEvent &event) override;
    void remember(const ir::StreamEvent &event);
    void follow(const ir::StreamEvent &event);
    void follow_open(const ir::StreamEvent &event);
    void follow_delta(const ir::StreamEvent &event);
    void follow_text(std::string_view text);
    void follow_end(const ir::StreamEvent &event);
    std::string_view leave_out(std::string_view text);
    std::string_view probe(std::string_view text);
    void count_text(std::string_view text);
    void add_text(std::string_view text);
    void pass_text(std::string_view text);
    void open_block(const ir::StreamEvent &event);
    void close_block();
    void differ();

    std::string sent_;
    std::string held_;    // the beginning of the new answer, while it may be either
    std::string tail_;    // blanks at its end that the new answer may begin with
    Arena scratch_;       // of one event
    size_t matched_ = 0;  // of sent_, in the new answer
    uint32_t block_ = 0;  // of the client's stream, the last
    uint32_t next_block_ = 0;
    ir::BlockKind kind_ = ir::BlockKind::text;      // of that block
    ir::BlockKind new_kind_ = ir::BlockKind::text;  // of the new answer's block
    bool is_open_ = false;                          // the client's block
    bool is_plain_ = true;
    bool is_finished_ = false;
    bool is_again_ = false;
    bool is_repeating_ = false;
    bool is_probing_ = false;
    bool is_alive_ = false;
};

}  // namespace llm
