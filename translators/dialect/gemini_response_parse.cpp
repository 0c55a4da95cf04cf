// Body of generateContent -> ir::Response: the events of gemini_answer.cpp put together, so that a
// body and a stream of the same answer come to the same. Also finish reasons and token counts.
#include <vector>

#include "translators/dialect/gemini_answer.hpp"
#include "translators/dialect/usage_count.hpp"

namespace llm::gemini {

namespace {

using ir::BlockKind;
using ir::EventKind;
using json::Value;

// Texts stay views into the body; only what comes in several parts is copied.
class Assembler final : public ir::EventSink {
  public:
    Assembler(Arena &arena, ir::Response &response) : arena_(arena), response_(response) {}

    void on_event(const ir::StreamEvent &event) override {
        switch (event.kind) {
            case EventKind::start:
                response_.id = event.id;
                response_.model = event.name;
                response_.created = event.created;
                return;
            case EventKind::open:
                open(event);
                return;
            case EventKind::delta:
                delta(event.text);
                return;
            case EventKind::signature:
                if (auto *reasoning = std::get_if<ir::Reasoning>(&part_->is)) {
                    reasoning->signature = {arena_.copy(event.text.bytes)};
                }
                return;
            case EventKind::cite:
                cite(event);
                return;
            case EventKind::close:
                close();
                return;
            case EventKind::logprobs:
                choice_of(event).logprobs = event.raw;
                return;
            case EventKind::usage:
                response_.usage = *event.usage;
                return;
            case EventKind::finish: {
                ir::Choice &choice = choice_of(event);
                choice.finish = event.finish;
                choice.native_finish = {arena_.copy(event.native.bytes)};
                return;
            }
            case EventKind::redacted:
            case EventKind::end:
            case EventKind::error:
            case EventKind::ping:
                return;
        }
    }

  private:
    ir::Choice &choice_of(const ir::StreamEvent &event) {
        for (size_t i = 0; i < indexes_.size(); ++i) {
            if (indexes_[i] == event.choice) {
                return response_.choices[i];
            }
        }
        indexes_.push_back(event.choice);
        response_.choices.emplace_back();
        return response_.choices.back();
    }

    // Candidates stand one behind the other: one block at a time is open.
    void open(const ir::StreamEvent &event) {
        ir::Choice &choice = choice_of(event);
        choice.parts.emplace_back();
        part_ = &choice.parts.back();
        text_ = {};
        joined_.clear();
        switch (event.block_kind) {
            case BlockKind::text:
            case BlockKind::refusal:
                part_->is = ir::Text{};
                return;
            case BlockKind::reasoning: {
                ir::Reasoning reasoning;
                reasoning.origin = DialectId::gemini;
                part_->is = reasoning;
                return;
            }
            case BlockKind::tool: {
                ir::ToolCall call;
                call.id = event.id;
                call.name = event.name;
                call.arguments = "{}";
                part_->is = call;
                return;
            }
            case BlockKind::image: {
                ir::Image image;
                image.source.mime = event.name;
                image.source.data = event.text;
                part_->is = image;
                return;
            }
            case BlockKind::opaque:
                part_->is = ir::Opaque{DialectId::gemini, event.name, event.raw};
                return;
        }
    }

    void delta(JsonText text) {
        if (auto *call = std::get_if<ir::ToolCall>(&part_->is)) {
            call->arguments = json::unescape(text, arena_);
        } else if (text_.empty()) {
            text_ = text;
        } else {
            if (joined_.size() == 0) {
                joined_.append(text_.bytes);
            }
            joined_.append(text.bytes);
        }
    }

    void cite(const ir::StreamEvent &event) {
        auto *text = std::get_if<ir::Text>(&part_->is);
        if (text == nullptr) {
            return;
        }
        text->citations_origin = DialectId::gemini;
        if (!event.raw.empty()) {
            scratch_.clear();
            scratch_.append('[');
            scratch_.append(event.raw.bytes);
            scratch_.append(']');
            text->citations = {arena_.copy(scratch_.view())};
        }
        if (event.citation != nullptr) {
            text->cited.push_back(*event.citation);
        }
    }

    void close() {
        JsonText whole = joined_.size() == 0 ? text_ : JsonText{arena_.copy(joined_.view())};
        if (auto *text = std::get_if<ir::Text>(&part_->is)) {
            text->text = whole;
        } else if (auto *reasoning = std::get_if<ir::Reasoning>(&part_->is)) {
            reasoning->text = whole;
        }
    }

    Arena &arena_;
    ir::Response &response_;
    std::vector<uint32_t> indexes_;
    ir::Part *part_ = nullptr;  // of the open block
    JsonText text_;
    ByteBuffer joined_;
    ByteBuffer scratch_;
};

struct FinishRow {
    std::string_view native;
    ir::Finish finish;
};

constexpr FinishRow kFinish[] = {
    {"MAX_TOKENS", ir::Finish::length},
    {"SAFETY", ir::Finish::content_filter},
    {"RECITATION", ir::Finish::content_filter},
    {"BLOCKLIST", ir::Finish::content_filter},
    {"PROHIBITED_CONTENT", ir::Finish::content_filter},
    {"SPII", ir::Finish::content_filter},
    {"LANGUAGE", ir::Finish::content_filter},
    {"IMAGE_SAFETY", ir::Finish::content_filter},
    {"IMAGE_PROHIBITED_CONTENT", ir::Finish::content_filter},
    {"IMAGE_RECITATION", ir::Finish::content_filter},
    {"MALFORMED_FUNCTION_CALL", ir::Finish::malformed},
    {"MALFORMED_RESPONSE", ir::Finish::malformed},
    {"MISSING_THOUGHT_SIGNATURE", ir::Finish::malformed},
};

int64_t audio_of(Value details) {
    int64_t sum = 0;
    for (Value detail : details.items()) {
        if (detail.find("modality").equals("AUDIO")) {
            sum += count_of(detail.find("tokenCount"));
        }
    }
    return sum;
}

}  // namespace

ir::Finish finish_of(JsonText finish_reason, bool has_calls) {
    if (json::equals(finish_reason, "STOP")) {
        return has_calls ? ir::Finish::tool_calls : ir::Finish::stop;
    }
    if (json::equals(finish_reason, "UNEXPECTED_TOOL_CALL") ||
        json::equals(finish_reason, "TOO_MANY_TOOL_CALLS")) {
        return has_calls ? ir::Finish::tool_calls : ir::Finish::malformed;
    }
    for (const FinishRow &row : kFinish) {
        if (json::equals(finish_reason, row.native)) {
            return row.finish;
        }
    }
    return ir::Finish::other;
}

void RawUsage::merge(Value usage) {
    // Early objects of a stream may say nothing but the kind of traffic.
    bool has_counts = false;
    for (std::string_view name :
         {"promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"}) {
        has_counts = has_counts || !usage.find(name).is_unset();
    }
    if (!has_counts) {
        return;
    }
    Value answer = usage.find("candidatesTokenCount"), thought = usage.find("thoughtsTokenCount");
    std::optional<int64_t> sent = told_count(usage.find("promptTokenCount"));
    prompt = sent.value_or(0);
    tool_use_prompt = count_of(usage.find("toolUsePromptTokenCount"));
    cached = count_of(usage.find("cachedContentTokenCount"));
    candidates = count_of(answer);
    thoughts = count_of(thought);
    known =
        sent && (thought.is_unset() || told_count(thought)) &&
        is_output_told(answer, usage.find("totalTokenCount"), prompt + tool_use_prompt + thoughts);
    audio_in = audio_of(usage.find("promptTokensDetails"));
    audio_out = audio_of(usage.find("candidatesTokensDetails"));
}

Usage RawUsage::to_usage() const {
    Usage usage;
    usage.known = known;
    usage.input = prompt + tool_use_prompt;
    usage.cache_read = cached;
    usage.output = candidates + thoughts;
    usage.reasoning = thoughts;
    usage.audio_in = audio_in;
    usage.audio_out = audio_out;
    usage.normalise();
    return usage;
}

Status parse_response(Value root, Arena &arena, ir::Response &response) {
    AnswerReader answer(arena);
    Assembler assembler(arena, response);
    if (!answer.read(root, assembler)) {
        return Error{Errc::upstream_protocol, answer.failure(), {}, 0};
    }
    if (!answer.has_candidates()) {
        return Error{Errc::upstream_protocol, "the answer has no candidates", "candidates", 0};
    }
    answer.complete(assembler);
    return {};
}

std::optional<int64_t> parse_count(Value root) {
    std::optional<int64_t> total = root.find("totalTokens").as_int();
    return total && *total >= 0 ? total : std::nullopt;
}

}  // namespace llm::gemini
