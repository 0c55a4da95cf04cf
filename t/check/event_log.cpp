// Fragments are joined before they are unescaped: an escape may be cut between two events.
#include "t/check/event_log.hpp"

#include "translators/core/errors.hpp"

namespace llm::check {
namespace {

using ir::BlockKind;
using ir::EventKind;

constexpr std::string_view kKinds[] = {
    "start",    "open",  "delta",  "signature", "redacted", "cite", "close",
    "logprobs", "usage", "finish", "end",       "error",    "ping",
};

}  // namespace

void EventLog::problem(std::string_view what) {
    if (problems_.size() < 10) {
        problems_.push_back("event " + std::to_string(events_) + ": " + std::string(what));
    }
}

void EventLog::write(const ir::StreamEvent &event) {
    transcript_ += kKinds[static_cast<size_t>(event.kind)];
    transcript_ += ' ' + std::to_string(event.choice) + '.' + std::to_string(event.block);
    for (std::string_view part : {event.text.bytes, event.id.bytes, event.name.bytes,
                                  event.stop_sequence.bytes, event.native.bytes, event.raw.bytes}) {
        transcript_ += '|';
        transcript_ += part;
    }
    if (event.kind == EventKind::open) {
        transcript_ += " kind=" + std::to_string(static_cast<int>(event.block_kind));
    } else if (event.kind == EventKind::finish) {
        transcript_ += finish_name(event.finish);
    } else if (event.kind == EventKind::error) {
        transcript_ += spelling(event.error_class).name;
    }
    if (event.usage != nullptr) {
        const Usage &u = *event.usage;
        for (int64_t n : {u.input, u.cache_read, u.cache_write, u.output, u.reasoning}) {
            transcript_ += ' ' + std::to_string(n);
        }
    }
    transcript_ += '\n';
}

EventLog::Block *EventLog::open_block(const ir::StreamEvent &event) {
    if (event.block >= blocks_.size() || !blocks_[event.block].is_open) {
        problem("belongs to no open block");
        return nullptr;
    }
    return &blocks_[event.block];
}

void EventLog::add_block(const ir::StreamEvent &event) {
    if (event.block != blocks_.size()) {
        problem("blocks are not numbered in order of opening");
    }
    while (blocks_.size() <= event.block) {
        blocks_.push_back({event.block_kind, event.choice, {}, {}, {}, {}, {}, true});
    }
    Block &block = blocks_[event.block];
    block.kind = event.kind == EventKind::redacted ? BlockKind::reasoning : event.block_kind;
    block.id = plain(event.id);
    block.name = plain(event.name);
    if (block.kind == BlockKind::tool && (block.name.empty() || block.id.empty())) {
        problem("a call without a name or an id");
    }
}

void EventLog::on_event(const ir::StreamEvent &event) {
    events_++;
    if (event.kind == EventKind::ping) {
        return;
    }
    write(event);
    if (is_over_) {
        problem("behind the end");
        return;
    }
    if (!is_started_ && event.kind != EventKind::start && event.kind != EventKind::error) {
        problem("before the start");
    }
    if (event.usage != nullptr) {
        answer_.usage = *event.usage;
    }
    switch (event.kind) {
        case EventKind::start:
            if (is_started_) {
                problem("a second start");
            }
            is_started_ = true;
            answer_.id = plain(event.id);
            answer_.model = plain(event.name);
            break;
        case EventKind::open:
            add_block(event);
            break;
        case EventKind::redacted:
            add_block(event);
            blocks_[event.block].redacted = event.text.bytes;
            blocks_[event.block].is_open = false;
            break;
        case EventKind::delta:
            if (event.text.empty()) {
                problem("an empty delta");
            }
            if (Block *block = open_block(event)) {
                block->text += event.text.bytes;
            }
            break;
        case EventKind::signature:
            if (Block *block = open_block(event)) {
                block->signature += event.text.bytes;
                answer_.origin = event.origin;
            }
            break;
        case EventKind::cite:
            (void)open_block(event);
            break;
        case EventKind::close:
            if (Block *block = open_block(event)) {
                block->is_open = false;
            }
            break;
        case EventKind::finish: {
            Message &message = answer_.choices[event.choice];
            if (!message.finish.empty()) {
                problem("a second finish of a choice");
            }
            message.finish = finish_name(event.finish);
            message.native = plain(event.native);
            message.stop_sequence = plain(event.stop_sequence);
            break;
        }
        case EventKind::end:
            is_over_ = true;
            answer_.is_complete = true;
            for (const Block &block : blocks_) {
                if (block.is_open) {
                    problem("the end, and a block is still open");
                }
            }
            break;
        case EventKind::error:
            is_over_ = true;
            answer_.has_error = true;
            answer_.error_class = spelling(event.error_class).name;
            answer_.error_message = plain(event.text);
            break;
        case EventKind::logprobs:
        case EventKind::usage:
        case EventKind::ping:
            break;
    }
}

Answer EventLog::answer() const {
    Answer answer = answer_;
    for (const Block &block : blocks_) {
        Message &message = answer.choices[block.choice];
        std::string text = plain(block.text);
        switch (block.kind) {
            case BlockKind::text:
                message.text += text;
                message.spoken += text;
                break;
            case BlockKind::refusal:
                message.refusal += text;
                message.spoken += text;
                break;
            case BlockKind::reasoning:
                message.reasoning += text;
                if (!block.signature.empty()) {
                    message.signatures.push_back(plain(block.signature));
                }
                if (!block.redacted.empty()) {
                    message.redacted.push_back(plain(block.redacted));
                }
                break;
            case BlockKind::tool:
                message.calls.push_back({block.id, block.name, arguments_text(text)});
                break;
            case BlockKind::image:
            case BlockKind::opaque:
                message.server_blocks += block.name != "audio" ? 1 : 0;
                break;
        }
    }
    return answer;
}

}  // namespace llm::check
