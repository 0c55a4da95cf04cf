// See recoverable_relay.hpp. The first answer passes through remember(), every later one through
// follow(). Texts are compared plain: providers escape differently, and cut where they like.
#include "ngx_llm_module/stream/recoverable_relay.hpp"

#include <algorithm>

namespace llm {
namespace {

constexpr size_t kMaxText = 256 * 1024;
// So much of a beginning is no coincidence.
constexpr size_t kProbe = 16;

std::string_view without_blanks(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    return text;
}

}  // namespace

void RecoverableRelay::begin_again(std::unique_ptr<Decoder> decoder, bool is_continued) {
    use_decoder(std::move(decoder));
    is_again_ = true;
    is_alive_ = false;
    matched_ = 0;
    is_repeating_ = !is_continued && !sent_.empty();
    is_probing_ = is_continued;
    held_.clear();
    tail_.clear();
    if (is_continued) {
        tail_ = sent_.substr(sent_.find_last_not_of(" \t\r\n") + 1);
    }
    new_kind_ = ir::BlockKind::text;
}

void RecoverableRelay::on_event(const ir::StreamEvent &event) {
    if (is_complete() || failure() != nullptr) {
        return;
    }
    scratch_.reset();
    if (is_again_) {
        follow(event);
        return;
    }
    remember(event);
    pass(event);
}

void RecoverableRelay::add_text(std::string_view text) {
    if (sent_.size() + text.size() > kMaxText) {
        is_plain_ = false;
        std::string().swap(sent_);
        return;
    }
    sent_.append(text);
}

void RecoverableRelay::remember(const ir::StreamEvent &event) {
    is_plain_ = is_plain_ && event.choice == 0;
    switch (event.kind) {
        case ir::EventKind::open:
            kind_ = event.block_kind;
            is_plain_ =
                is_plain_ && (kind_ == ir::BlockKind::text || kind_ == ir::BlockKind::reasoning);
            block_ = event.block;
            next_block_ = std::max(next_block_, event.block + 1);
            is_open_ = true;
            break;
        case ir::EventKind::delta:
            if (is_plain_ && kind_ == ir::BlockKind::text) {
                add_text(json::unescape(event.text, scratch_));
            }
            break;
        case ir::EventKind::redacted:
            next_block_ = std::max(next_block_, event.block + 1);
            break;
        case ir::EventKind::close:
            is_open_ = false;
            break;
        case ir::EventKind::cite:
        case ir::EventKind::logprobs:
            is_plain_ = false;
            break;
        case ir::EventKind::finish:
            is_finished_ = true;
            break;
        case ir::EventKind::start:
        case ir::EventKind::signature:
        case ir::EventKind::usage:
        case ir::EventKind::end:
        case ir::EventKind::error:
        case ir::EventKind::ping:
            break;
    }
}

void RecoverableRelay::differ() {
    is_plain_ = false;
    fail(ErrorClass::stream_truncated, "another answer differs from what was sent");
}

void RecoverableRelay::follow(const ir::StreamEvent &event) {
    if (event.choice != 0) {
        return;
    }
    switch (event.kind) {
        case ir::EventKind::start:
            tap(event);
            return;
        case ir::EventKind::open:
            is_alive_ = true;
            follow_open(event);
            return;
        case ir::EventKind::delta:
            is_alive_ = true;
            follow_delta(event);
            return;
        case ir::EventKind::close:
            if (!is_repeating_ && is_open_ && new_kind_ == kind_) {
                close_block();
            }
            return;
        case ir::EventKind::usage:
        case ir::EventKind::error:
            pass(event);
            return;
        case ir::EventKind::finish:
        case ir::EventKind::end:
            follow_end(event);
            return;
        // The client has had its reasoning, or will do without.
        case ir::EventKind::signature:
        case ir::EventKind::redacted:
        case ir::EventKind::cite:
        case ir::EventKind::logprobs:
        case ir::EventKind::ping:
            return;
    }
}

void RecoverableRelay::follow_open(const ir::StreamEvent &event) {
    new_kind_ = event.block_kind;
    if (new_kind_ == ir::BlockKind::text || new_kind_ == ir::BlockKind::reasoning) {
        return;  // text opens a block when it has something to say
    }
    if (is_repeating_) {
        differ();
        return;
    }
    is_plain_ = false;  // a call is never continued
    open_block(event);
}

void RecoverableRelay::follow_delta(const ir::StreamEvent &event) {
    if (new_kind_ == ir::BlockKind::reasoning) {
        ir::StreamEvent counted = event;
        tap(counted);
        return;
    }
    if (new_kind_ != ir::BlockKind::text) {
        ir::StreamEvent moved = event;
        moved.block = block_;
        pass(moved);
        return;
    }
    follow_text(json::unescape(event.text, scratch_));
}

void RecoverableRelay::follow_text(std::string_view text) {
    if (is_probing_) {
        text = probe(text);
    }
    if (is_repeating_) {
        text = leave_out(text);
    }
    while (!tail_.empty() && !text.empty() && tail_.front() == text.front()) {
        tail_.erase(0, 1);
        text.remove_prefix(1);
    }
    if (!text.empty()) {
        tail_.clear();
        pass_text(text);
    }
}

// Of a new answer: without what the client has.
std::string_view RecoverableRelay::leave_out(std::string_view text) {
    size_t size = std::min(text.size(), sent_.size() - matched_);
    count_text(text.substr(0, size));
    if (text.substr(0, size) != std::string_view(sent_).substr(matched_, size)) {
        differ();
        return {};
    }
    matched_ += size;
    is_repeating_ = matched_ < sent_.size();
    return text.substr(size);
}

// Of an answer that should go on: nothing until it is known whether it does, then all of it.
std::string_view RecoverableRelay::probe(std::string_view text) {
    held_.append(text);
    std::string_view now = without_blanks(held_);
    std::string_view before = without_blanks(sent_);
    before = before.substr(0, kProbe);
    size_t size = std::min(now.size(), before.size());
    if (now.substr(0, size) == before.substr(0, size)) {
        if (size < before.size()) {
            return {};
        }
        is_repeating_ = true;
        matched_ = size_t(before.data() - sent_.data());
        if (std::string_view(sent_).find(before, matched_ + 1) != std::string_view::npos) {
            differ();  // a text that repeats itself: nobody can tell
            return {};
        }
    } else {
        now = held_;
    }
    is_probing_ = false;
    return now;
}

// The provider wrote it, the client does not get it.
void RecoverableRelay::count_text(std::string_view text) {
    ir::StreamEvent event;
    event.kind = ir::EventKind::delta;
    event.block_kind = ir::BlockKind::text;
    event.text = json::escape(text, scratch_);
    tap(event);
}

void RecoverableRelay::follow_end(const ir::StreamEvent &event) {
    if (is_probing_) {  // too short to be the beginning of all
        is_probing_ = false;
        follow_text(held_);
    }
    if (is_repeating_) {
        differ();
        return;
    }
    if (is_open_) {
        close_block();
    }
    is_finished_ = true;
    pass(event);
}

void RecoverableRelay::pass_text(std::string_view text) {
    if (!is_open_ || kind_ != ir::BlockKind::text) {
        open_block({.kind = ir::EventKind::open, .block_kind = ir::BlockKind::text});
    }
    if (is_plain_) {
        add_text(text);
    }
    ir::StreamEvent event;
    event.kind = ir::EventKind::delta;
    event.block = block_;
    event.block_kind = ir::BlockKind::text;
    event.text = json::escape(text, scratch_);
    pass(event);
}

void RecoverableRelay::open_block(const ir::StreamEvent &event) {
    if (is_open_) {
        close_block();
    }
    ir::StreamEvent opened = event;
    block_ = next_block_++;
    opened.block = block_;
    kind_ = event.block_kind;
    is_open_ = true;
    pass(opened);
}

void RecoverableRelay::close_block() {
    ir::StreamEvent event;
    event.kind = ir::EventKind::close;
    event.block = block_;
    event.block_kind = kind_;
    is_open_ = false;
    pass(event);
}

}  // namespace llm
