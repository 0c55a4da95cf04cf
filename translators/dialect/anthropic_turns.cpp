// The conversation as the messages API wants it. build_history() merges turns of one role, answers
// every call in the very next user message and in the order of the calls, drops what cannot be sent
// (blank text, foreign or unsigned thinking, results nobody asked for) and puts placeholders where
// a message would be empty. The same history gives the same bytes on every turn, so the prompt
// cache holds. anthropic_blocks.cpp writes it.
//
// Invariants of a History: it begins with a user message, no two messages of one role follow each
// other, every tool_use is answered once, no two have one id, and no block is blank.
#include <unordered_map>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/render_hints.hpp"

namespace llm::anthropic {

using ir::Part;
using ir::Role;
using What = Block::What;

RawJson cache_of(const Part &part) {
    if (const ir::Text *text = std::get_if<ir::Text>(&part.is)) {
        return text->cache;
    }
    if (const ir::Image *image = std::get_if<ir::Image>(&part.is)) {
        return image->cache;
    }
    if (const ir::Document *document = std::get_if<ir::Document>(&part.is)) {
        return document->cache;
    }
    if (const ir::ToolCall *call = std::get_if<ir::ToolCall>(&part.is)) {
        return call->cache;
    }
    if (const ir::ToolResult *result = std::get_if<ir::ToolResult>(&part.is)) {
        return result->cache;
    }
    return {};
}

const JsonText *text_of(const Part &part) {
    if (const ir::Text *text = std::get_if<ir::Text>(&part.is)) {
        return &text->text;
    }
    if (const ir::Refusal *refusal = std::get_if<ir::Refusal>(&part.is)) {
        return &refusal->text;
    }
    return nullptr;
}

namespace {

JsonText trim_end(JsonText text, Arena &arena) {
    std::string_view plain = json::unescape(text, arena);
    size_t end = plain.find_last_not_of(" \t\r\n\f\v");
    if (end == std::string_view::npos || end + 1 == plain.size()) {
        return text;
    }
    return json::escape(plain.substr(0, end + 1), arena);
}

class Builder {
  public:
    Builder(const ir::Request &request, const Target &target, const HistoryRules &rules,
            Arena &arena, Notes &notes)
        : request_(request), target_(target), rules_(rules), arena_(arena), notes_(notes) {}

    Status build(History &history) {
        for (const ir::Turn &turn : request_.turns) {
            switch (turn.role) {
                case Role::assistant:
                    LLM_TRY(assistant(turn));
                    break;
                case Role::user:
                    LLM_TRY(user(turn));
                    break;
                case Role::system:
                    system(turn);
                    break;
            }
        }
        assemble(history.messages);
        LLM_TRY(last_message(history.messages));
        history.forbids_thinking = forbids_thinking(history.messages);
        return {};
    }

  private:
    struct Call {
        JsonText id;
        const Part *result;  // none yet
    };

    // --- turns ------------------------------------------------------------------------------

    Status assistant(const ir::Turn &turn) {
        std::vector<Block> blocks;
        for (const Part &part : turn.parts) {
            LLM_TRY(add(part, Role::assistant, blocks));
        }
        if (blocks.empty()) {
            return {};
        }
        bool goes_on =
            !messages_.empty() && messages_.back().role == Role::assistant && !is_answered_;
        if (!goes_on) {
            messages_.push_back({Role::assistant, {}});
            calls_.resize(messages_.size());
            by_id_.clear();
            step_ = messages_.size() - 1;
            is_answered_ = false;
        }
        for (Block &block : blocks) {
            const ir::ToolCall *call =
                block.what == What::part ? std::get_if<ir::ToolCall>(&block.part->is) : nullptr;
            if (call != nullptr) {
                by_id_.emplace(call->id.bytes, calls_[step_].size());
                calls_[step_].push_back({call->id, nullptr});
            }
            messages_.back().blocks.push_back(block);
        }
        return {};
    }

    Status user(const ir::Turn &turn) {
        std::vector<Block> blocks;
        bool has_result = false;
        for (const Part &part : turn.parts) {
            if (const ir::ToolResult *result = std::get_if<ir::ToolResult>(&part.is)) {
                LLM_TRY(check_nested(*result));
                has_result = true;
                auto found = by_id_.find(result->call_id.bytes);
                if (found == by_id_.end()) {
                    notes_.drop("tool_result");
                    continue;
                }
                Call &call = calls_[step_][found->second];
                if (call.result != nullptr) {
                    notes_.drop("tool_result");  // the later one is said
                }
                call.result = &part;
                is_answered_ = true;
                continue;
            }
            LLM_TRY(add(part, Role::user, blocks));
        }
        if (!blocks.empty() || !has_result) {
            append(Role::user, blocks);
        }
        return {};
    }

    void system(const ir::Turn &turn) {
        std::vector<Block> blocks;
        for (const Part &part : turn.parts) {
            const JsonText *text = text_of(part);
            if (text == nullptr || json::is_blank(*text)) {
                continue;
            }
            if (target_.traits.system_in_messages) {
                blocks.push_back({What::part, &part, {}, cache_of(part)});
            } else {
                blocks.push_back({What::system, nullptr, *text, cache_of(part)});
            }
        }
        if (!blocks.empty()) {
            append(target_.traits.system_in_messages ? Role::system : Role::user, blocks);
        }
    }

    void append(Role role, const std::vector<Block> &blocks) {
        if (messages_.empty() || messages_.back().role != role) {
            messages_.push_back({role, {}});
            calls_.resize(messages_.size());
        }
        std::vector<Block> &into = messages_.back().blocks;
        into.insert(into.end(), blocks.begin(), blocks.end());
    }

    // --- parts ------------------------------------------------------------------------------

    Status add(const Part &part, Role role, std::vector<Block> &blocks) {
        if (const JsonText *text = text_of(part)) {
            if (!json::is_blank(*text)) {
                blocks.push_back({What::part, &part, {}, cache_of(part)});
            } else if (!blocks.empty() && blocks.back().cache.empty() &&
                       takes_mark(blocks.back())) {
                blocks.back().cache = cache_of(part);
            }
            return {};
        }
        if (const ir::Reasoning *reasoning = std::get_if<ir::Reasoning>(&part.is)) {
            bool is_whole = reasoning->is_redacted ? !reasoning->redacted.empty()
                                                   : !reasoning->signature.empty();
            if (is_whole && reasoning->origin == rules_.origin && rules_.keeps_reasoning) {
                blocks.push_back({What::part, &part, {}, {}});
            } else if (says_anything(*reasoning)) {
                notes_.drop(thoughts_name(request_.dialect));
            }
            return {};
        }
        std::string_view blamed = blame(part, role);
        if (!blamed.empty()) {
            return refuse(blamed);
        }
        note_detail(part);
        blocks.push_back({What::part, &part, {}, cache_of(part)});
        return {};
    }

    std::string_view blame(const Part &part, Role role) {
        return rules_.unsupported_part(part, role, request_.dialect, target_, arena_);
    }

    Status refuse(std::string_view param) {
        if (!target_.drop_params) {
            return unsupported("the target does not take this kind of content", param);
        }
        notes_.drop(param);
        return {};
    }

    Status check_nested(const ir::ToolResult &result) {
        for (const Part &part : result.parts) {
            std::string_view blamed = blame(part, Role::user);
            if (!blamed.empty()) {
                LLM_TRY(refuse(blamed));
            }
            note_detail(part);
        }
        return {};
    }

    void note_detail(const Part &part) {
        const ir::Image *image = std::get_if<ir::Image>(&part.is);
        if (image != nullptr && !image->detail.empty() && !json::equals(image->detail, "auto")) {
            notes_.drop("detail");
        }
    }

    static bool takes_mark(const Block &block) {
        return block.part == nullptr || (!std::holds_alternative<ir::Reasoning>(block.part->is) &&
                                         !std::holds_alternative<ir::Opaque>(block.part->is));
    }

    // --- the whole --------------------------------------------------------------------------

    // Results go first in the message behind their calls.
    void assemble(std::vector<Message> &messages) {
        if (messages_.empty() || messages_.front().role != Role::user) {
            messages.push_back({Role::user, {{What::text, nullptr, {"."}, {}}}});
        }
        std::vector<Block> results;
        for (size_t i = 0; i < messages_.size(); ++i) {
            Message &message = messages_[i];
            if (!results.empty()) {
                if (message.role == Role::user) {
                    message.blocks.insert(message.blocks.begin(), results.begin(), results.end());
                } else {
                    messages.push_back({Role::user, results});
                }
                results.clear();
            }
            if (message.role == Role::user && message.blocks.empty()) {
                message.blocks.push_back({What::text, nullptr, {"(empty)"}, {}});
            }
            messages.push_back(std::move(message));
            for (const Call &call : calls_[i]) {
                if (call.result != nullptr) {
                    results.push_back({What::part, call.result, {}, cache_of(*call.result)});
                } else {
                    results.push_back({What::no_result, nullptr, call.id, {}});
                }
            }
        }
        if (!results.empty()) {
            messages.push_back({Role::user, std::move(results)});
        }
    }

    // A last message of the assistant is a prefill: its end is trimmed, or it cannot be said at
    // all. One that ends in a server tool's block is a paused turn, which every model continues.
    Status last_message(std::vector<Message> &messages) {
        Message &last = messages.back();
        if (last.role != Role::assistant) {
            return {};
        }
        Block &end = last.blocks.back();
        if (end.part != nullptr && std::holds_alternative<ir::Opaque>(end.part->is)) {
            return {};
        }
        if (target_.traits.prefill) {
            if (const JsonText *text = end.part == nullptr ? nullptr : text_of(*end.part)) {
                JsonText trimmed = trim_end(*text, arena_);
                if (trimmed.bytes.size() != text->bytes.size()) {
                    end = {What::text, nullptr, trimmed, end.cache};
                }
            }
            return {};
        }
        if (!target_.drop_params) {
            return unsupported("the model does not continue an assistant message", "prefill");
        }
        notes_.drop("prefill");
        ByteBuffer said;
        said.append("Continue exactly from: ");
        for (const Block &block : last.blocks) {
            if (const JsonText *text = block.part == nullptr ? nullptr : text_of(*block.part)) {
                said.append(text->bytes);
            }
        }
        messages.pop_back();  // the message before it is a user's, see assemble()
        Block instruction = {What::text, nullptr, {arena_.copy(said.view())}, {}};
        if (messages.back().role == Role::user) {
            messages.back().blocks.push_back(instruction);
        } else {
            messages.push_back({Role::user, {instruction}});
        }
        return {};
    }

    static bool forbids_thinking(const std::vector<Message> &messages) {
        for (size_t i = messages.size(); i-- > 0;) {
            const Message &message = messages[i];
            if (message.role != Role::assistant) {
                continue;
            }
            bool must_think = i + 1 == messages.size();
            for (const Block &block : message.blocks) {
                must_think |=
                    block.part != nullptr && std::holds_alternative<ir::ToolCall>(block.part->is);
            }
            const Block &first = message.blocks.front();
            bool thinks =
                first.part != nullptr && std::holds_alternative<ir::Reasoning>(first.part->is);
            return must_think && !thinks;
        }
        return false;
    }

    const ir::Request &request_;
    const Target &target_;
    const HistoryRules &rules_;
    Arena &arena_;
    Notes &notes_;
    std::vector<Message> messages_;
    std::vector<std::vector<Call>> calls_;                // beside messages_
    std::unordered_map<std::string_view, size_t> by_id_;  // calls of the latest step
    size_t step_ = 0;
    bool is_answered_ = false;  // a result of the step was seen
};

}  // namespace

Status build_history(const ir::Request &request, const Target &target, Arena &arena, Notes &notes,
                     History &history) {
    HistoryRules rules;
    rules.keeps_reasoning = target.traits.thinking;
    rules.unsupported_part = unsupported_part;
    return build_history(request, target, rules, arena, notes, history);
}

Status build_history(const ir::Request &request, const Target &target, const HistoryRules &rules,
                     Arena &arena, Notes &notes, History &history) {
    return Builder(request, target, rules, arena, notes).build(history);
}

}  // namespace llm::anthropic
