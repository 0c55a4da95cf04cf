// See chat_messages.hpp.
#include "translators/dialect/chat_messages.hpp"

#include "translators/dialect/media.hpp"
#include "translators/dialect/render_hints.hpp"

namespace llm {

// What walk_turns gives the turns to.
struct ChatMessagesWalk {
    ChatMessages &to;

    void system(const Texts &texts) { to.write_system(texts); }
    Result<size_t> user(size_t turn) {
        LLM_TRY(to.write_user(to.request_.turns[turn]));
        return turn + 1;
    }
    Status assistant(const ir::Turn &turn) {
        to.write_assistant(turn);
        return {};
    }
    Status results(const Step &step) { return to.write_results(step); }
};

Status ChatMessages::write() {
    writer_.array();
    write_system(texts_of(request_.system));
    ChatMessagesWalk walk{*this};
    LLM_TRY(walk_turns(job_, walk));
    writer_.end();
    return {};
}

void ChatMessages::write_system(const Texts &texts) {
    if (has_text(texts)) {
        writer_.object().key("role").plain("system").key("content").open_text();
        write_paragraphs(texts, job_);
        writer_.close_text().end();
    }
}

Status ChatMessages::write_results(const Step &step) {
    for (const ir::ToolResult *result : step.results) {
        job_.note_cache(result->cache);
    }
    if (!step.strays.empty() || step.has_replaced) {
        job_.note("tool_result");
    }
    for (const AnsweredCall &answered : step.calls) {
        LLM_TRY(write_result(answered));
    }
    end_results();
    return {};
}

ChatMessages::Spoken ChatMessages::look_at(const ir::Turn &turn) const {
    Spoken spoken;
    for (const ir::Part &part : turn.parts) {
        spoken.has_calls = spoken.has_calls || std::holds_alternative<ir::ToolCall>(part.is);
        if (const auto *reasoning = std::get_if<ir::Reasoning>(&part.is)) {
            spoken.has_thoughts = spoken.has_thoughts || !reasoning->text.empty();
        } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
            // Blocks of tools that another provider ran: their outcome is in the text around.
            job_.note(json::unescape(opaque->type, job_.arena));
        } else {
            spoken.has_text = spoken.has_text || PartText::has_text(part);
        }
        if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            job_.note_cache(text->cache);
        }
    }
    return spoken;
}

void ChatMessages::write_spoken(const ir::Turn &turn) {
    for (const ir::Part &part : turn.parts) {
        if (!std::holds_alternative<ir::Opaque>(part.is) && PartText::has_text(part)) {
            write_text(part);
        }
    }
}

void ChatMessages::write_text(const ir::Part &part) {
    const auto *document = std::get_if<ir::Document>(&part.is);
    if (document == nullptr || PartText::has_text(part)) {
        text_.write(part, writer_);
        return;
    }
    ir::Document decoded = *document;
    decoded.source.kind = ir::SourceKind::text;
    decoded.source.data =
        decode_base64_text(resolve_source(document->source, job_.arena).data, job_.arena);
    text_.write({decoded}, writer_);
}

void ChatMessages::write_error_mark(const ir::ToolResult &result, const ir::Part *first) {
    const ir::Text *text = first == nullptr ? nullptr : std::get_if<ir::Text>(&first->is);
    if (result.is_error && (text == nullptr || !says_error(text->text))) {
        writer_.piece(JsonText{"Error: "});
    }
}

bool ChatMessages::is_text_document(const ir::Part &part, const ir::Document &document) const {
    ir::Source source = resolve_source(document.source, job_.arena);
    return PartText::has_text(part) ||
           (source.kind == ir::SourceKind::base64 && is_text_mime(source.mime));
}

bool ChatMessages::is_cited(const ir::Document &document) {
    Result<json::Value> citations = reader_.parse_unpadded(document.citations.bytes);
    return citations && (*citations)["enabled"].is_true();
}

Status ChatMessages::leave_out(const ir::Opaque &opaque) const {
    std::string_view name = json::unescape(opaque.type, job_.arena);
    return job_.leave_out("the target has no such content", name.empty() ? "content" : name);
}

bool ChatMessages::has_message(const ir::Turn &turn) {
    bool has_other = turn.parts.empty();
    for (const ir::Part &part : turn.parts) {
        has_other = has_other || !std::holds_alternative<ir::ToolResult>(part.is);
    }
    return has_other;
}

}  // namespace llm
