// See chat_messages.hpp.
#include "translators/dialect/chat_messages.hpp"

#include "translators/dialect/media.hpp"
#include "translators/dialect/render_hints.hpp"

namespace llm {

Status ChatMessages::write() {
    writer_.array();
    std::vector<const ir::Text *> texts;
    for (const ir::Text &text : request_.system) {
        texts.push_back(&text);
    }
    write_system(texts);
    const std::vector<ir::Turn> &turns = request_.turns;
    if (!turns.empty() && turns[0].role != ir::Role::assistant) {
        LLM_TRY(write_results(turns.size()));
    }
    for (size_t i = 0; i < turns.size(); ++i) {
        switch (turns[i].role) {
            case ir::Role::system:
                texts.clear();
                for (const ir::Part &part : turns[i].parts) {
                    if (const auto *text = std::get_if<ir::Text>(&part.is)) {
                        texts.push_back(text);
                    }
                }
                write_system(texts);
                break;
            case ir::Role::user:
                LLM_TRY(write_user(turns[i]));
                break;
            case ir::Role::assistant:
                write_assistant(turns[i]);
                LLM_TRY(write_results(i));
                break;
        }
    }
    writer_.end();
    return {};
}

void ChatMessages::write_system(const std::vector<const ir::Text *> &texts) {
    bool is_first = true;
    for (const ir::Text *text : texts) {
        note_cache(text->cache);
        if (text->text.empty()) {
            continue;
        }
        if (is_first) {
            writer_.object().key("role").plain("system").key("content").open_text();
        } else {
            writer_.piece(kParagraph);
        }
        is_first = false;
        writer_.piece(text->text);
    }
    if (!is_first) {
        writer_.close_text().end();
    }
}

// See match_results for `assistant`.
Status ChatMessages::write_results(size_t assistant) {
    Step step = match_results(request_.turns, assistant, job_.arena);
    for (const ir::ToolResult *result : step.results) {
        note_cache(result->cache);
    }
    if (!step.strays.empty()) {
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
            note_cache(text->cache);
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
