// Request::system and Request::turns -> the messages of a v2 chat request.
//
// Entry points: render_messages, write_document. Results follow the turn that made the calls, one
// tool message for each call in the order of the calls. Images in results cannot stand in a tool
// message: they go into one user message behind the run. Documents with citations on are no
// text but documents: those of the user at the top of the request, those of a result inside of
// it. Reasoning goes back as it came: the plan of a turn with calls is its tool_plan, all other is
// a thinking part; what another maker signed stays out.
#include "translators/dialect/chat_messages.hpp"
#include "translators/dialect/cohere_render.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/render_hints.hpp"

namespace llm::cohere {

namespace {

// One user turn or one tool result: what is text, and all of it in order.
struct Content {
    std::vector<const ir::Part *> all;        // texts and images
    std::vector<const ir::Part *> documents;  // to be cited
    bool has_images = false;
};

class MessagesWriter final : public ChatMessages {
  public:
    MessagesWriter(const RenderJob &job, std::vector<const ir::Part *> &documents)
        : ChatMessages(job), documents_(documents) {}

  private:
    Status write_user(const ir::Turn &turn) override;
    void write_assistant(const ir::Turn &turn) override;
    Status write_result(const AnsweredCall &answered) override;
    void end_results() override;

    void write_call(const ir::ToolCall &call);
    void write_result_text(const AnsweredCall &answered, const Content &content);
    Status sort(const std::vector<ir::Part> &parts, Content &content);
    Status sort_document(const ir::Part &part, const ir::Document &document, Content &content);
    Status sort_image(const ir::Part &part, const ir::Image &image, Content &content);
    bool may_return(const ir::Reasoning &reasoning) const;
    void write_image(const ir::Image &image);
    void paragraph(bool &is_first) {
        if (!is_first) {
            writer_.piece(kParagraph);
        }
        is_first = false;
    }

    std::vector<const ir::Part *> &documents_;
    std::vector<const ir::Part *> images_;  // of the results of one turn
};

// --- content --------------------------------------------------------------------------------

// Sorts parts by the form they take, and refuses (or leaves out) what has none.
Status MessagesWriter::sort(const std::vector<ir::Part> &parts, Content &content) {
    for (const ir::Part &part : parts) {
        if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            job_.note_cache(text->cache);
            if (!text->text.empty()) {
                content.all.push_back(&part);
            }
        } else if (std::holds_alternative<ir::Refusal>(part.is)) {
            content.all.push_back(&part);
        } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
            LLM_TRY(sort_document(part, *document, content));
        } else if (const auto *image = std::get_if<ir::Image>(&part.is)) {
            LLM_TRY(sort_image(part, *image, content));
        } else if (std::holds_alternative<ir::Audio>(part.is)) {
            LLM_TRY(job_.leave_out("the target hears no audio", "input_audio"));
        } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
            if (PartText::has_text(part)) {
                content.documents.push_back(&part);  // a search result
            } else {
                LLM_TRY(leave_out(*opaque));
            }
        }
    }
    return {};
}

Status MessagesWriter::sort_document(const ir::Part &part, const ir::Document &document,
                                     Content &content) {
    job_.note_cache(document.cache);
    if (!is_text_document(part, document)) {
        return job_.leave_out("the target reads no files", file_name(request_.dialect));
    }
    (is_cited(document) ? content.documents : content.all).push_back(&part);
    return {};
}

Status MessagesWriter::sort_image(const ir::Part &part, const ir::Image &image, Content &content) {
    job_.note_cache(image.cache);
    ir::Source source = resolve_source(image.source, job_.arena);
    bool can_say = false;
    if (source.kind == ir::SourceKind::base64) {
        can_say = source.mime.empty();
        for (std::string_view mime : {"image/png", "image/jpeg", "image/webp", "image/gif"}) {
            can_say = can_say || json::equals(source.mime, mime);
        }
    } else if (source.kind == ir::SourceKind::url) {
        can_say = json::unescape(source.data, job_.arena).starts_with("http");
    }
    if (!can_say) {
        bool is_id = source.kind == ir::SourceKind::file_id;
        return job_.leave_out("the target cannot read this image",
                              is_id ? "image.file_id" : "image_url");
    }
    content.all.push_back(&part);
    content.has_images = true;
    return {};
}

void MessagesWriter::write_image(const ir::Image &image) {
    ir::Source source = resolve_source(image.source, job_.arena);
    JsonText url = source.data;
    if (source.kind == ir::SourceKind::base64) {
        url = make_data_url(source.mime.empty() ? JsonText{"image/png"} : source.mime, source.data,
                            job_.arena);
    }
    writer_.object().key("type").plain("image_url").key("image_url").object();
    writer_.key("url").text(url);
    if (!image.detail.empty()) {
        writer_.key("detail").text(image.detail);
    }
    writer_.end().end();
}

// --- turns ----------------------------------------------------------------------------------

Status MessagesWriter::write_user(const ir::Turn &turn) {
    Content content;
    LLM_TRY(sort(turn.parts, content));
    documents_.insert(documents_.end(), content.documents.begin(), content.documents.end());
    if (!has_message(turn)) {
        return {};
    }
    writer_.object().key("role").plain("user").key("content");
    if (content.all.empty()) {
        writer_.plain("(empty)");
    } else if (!content.has_images) {
        writer_.open_text();
        bool is_first = true;
        for (const ir::Part *part : content.all) {
            paragraph(is_first);
            write_text(*part);
        }
        writer_.close_text();
    } else {
        writer_.array();
        for (const ir::Part *part : content.all) {
            if (const auto *image = std::get_if<ir::Image>(&part->is)) {
                write_image(*image);
                continue;
            }
            writer_.object().key("type").plain("text").key("text").open_text();
            write_text(*part);
            writer_.close_text().end();
        }
        writer_.end();
    }
    writer_.end();
    return {};
}

// Thoughts without a signature, or with Cohere's own. Gemini's thoughts are summaries, which its
// own API does not take back either.
bool MessagesWriter::may_return(const ir::Reasoning &reasoning) const {
    bool is_ours = reasoning.origin == DialectId::cohere;
    return !reasoning.is_redacted && !reasoning.text.empty() &&
           (is_ours || (reasoning.signature.empty() && request_.dialect != DialectId::gemini));
}

void MessagesWriter::write_assistant(const ir::Turn &turn) {
    auto [has_text, has_calls, has_any] = look_at(turn);
    bool has_thoughts = false;
    for (const ir::Part &part : turn.parts) {
        const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
        if (reasoning != nullptr && may_return(*reasoning)) {
            has_thoughts = true;
        } else if (reasoning != nullptr && says_anything(*reasoning)) {
            job_.note(thoughts_name(request_.dialect));
        }
    }
    if (!has_text && !has_calls) {
        return;
    }
    auto write_thoughts = [&] {
        for (const ir::Part &part : turn.parts) {
            const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
            if (reasoning != nullptr && may_return(*reasoning)) {
                writer_.piece(reasoning->text);
            }
        }
    };
    writer_.object().key("role").plain("assistant");
    bool has_thinking_part = has_thoughts && !has_calls;
    if (has_thinking_part) {
        writer_.key("content").array().object().key("type").plain("thinking");
        writer_.key("thinking").open_text();
        write_thoughts();
        writer_.close_text().end().object().key("type").plain("text").key("text");
    } else if (has_text) {
        writer_.key("content");
    }
    if (has_text) {
        writer_.open_text();
        write_spoken(turn);
        writer_.close_text();
    }
    if (has_thinking_part) {
        writer_.end().end();
    }
    if (has_calls) {
        if (has_thoughts) {
            writer_.key("tool_plan").open_text();
            write_thoughts();
            writer_.close_text();
        }
        writer_.key("tool_calls").array();
        for (const ir::Part &part : turn.parts) {
            if (const auto *call = std::get_if<ir::ToolCall>(&part.is)) {
                write_call(*call);
            }
        }
        writer_.end();
    }
    writer_.end();
}

void MessagesWriter::write_call(const ir::ToolCall &call) {
    job_.note_cache(call.cache);
    writer_.object().key("id").text(call.id).key("type").plain("function");
    writer_.key("function").object().key("name").text(call.name);
    writer_.key("arguments").plain(function_arguments(call, job_.arena)).end().end();
}

// --- results --------------------------------------------------------------------------------

void MessagesWriter::end_results() {
    if (!images_.empty()) {
        writer_.object().key("role").plain("user").key("content").array();
        for (const ir::Part *part : images_) {
            write_image(*std::get_if<ir::Image>(&part->is));
        }
        writer_.end().end();
    }
    images_.clear();
}

Status MessagesWriter::write_result(const AnsweredCall &answered) {
    Content content;
    if (answered.result != nullptr) {
        LLM_TRY(sort(answered.result->parts, content));
    }
    for (const ir::Part *part : content.all) {
        if (std::holds_alternative<ir::Image>(part->is)) {
            images_.push_back(part);
        }
    }
    writer_.object().key("role").plain("tool");
    writer_.key("tool_call_id").text(answered.call->id).key("content");
    if (content.documents.empty()) {
        write_result_text(answered, content);
    } else {
        writer_.array();
        if (!content.all.empty() || answered.result->is_error) {
            writer_.object().key("type").plain("text").key("text");
            write_result_text(answered, content);
            writer_.end();
        }
        for (const ir::Part *part : content.documents) {
            writer_.object().key("type").plain("document").key("document");
            write_document(*part, job_);
            writer_.end();
        }
        writer_.end();
    }
    writer_.end();
    return {};
}

void MessagesWriter::write_result_text(const AnsweredCall &answered, const Content &content) {
    if (answered.result == nullptr) {
        writer_.plain("Error: [no result]");
        return;
    }
    writer_.open_text();
    write_error_mark(*answered.result, content.all.empty() ? nullptr : content.all[0]);
    bool is_first = true;
    for (const ir::Part *part : content.all) {
        paragraph(is_first);
        if (std::holds_alternative<ir::Image>(part->is)) {
            writer_.piece(JsonText{"[image: see the following user message]"});
        } else {
            write_text(*part);
        }
    }
    writer_.close_text();
}

}  // namespace

Status render_messages(const RenderJob &job, std::vector<const ir::Part *> &documents) {
    return MessagesWriter(job, documents).write();
}

void write_document(const ir::Part &part, const RenderJob &job) {
    json::Writer &writer = job.writer;
    PartText text;
    writer.object().key("data").object();
    if (const auto *document = std::get_if<ir::Document>(&part.is)) {
        if (!document->title.empty()) {
            writer.key("title").text(document->title);
        }
        if (!document->context.empty()) {
            writer.key("context").text(document->context);
        }
        ir::Document bare;
        bare.source = resolve_source(document->source, job.arena);
        if (bare.source.kind == ir::SourceKind::base64) {
            bare.source.data = decode_base64_text(bare.source.data, job.arena);
            bare.source.kind = ir::SourceKind::text;
        }
        writer.key("text").open_text();
        text.write({bare}, writer);
        writer.close_text();
    } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
        json::Reader reader;
        Result<json::Value> block = reader.parse_unpadded(opaque->json.bytes);
        if (block) {
            if (JsonText title = (*block)["title"].text(); !title.empty()) {
                writer.key("title").text(title);
            }
            if (JsonText source = (*block)["source"].text(); !source.empty()) {
                writer.key("url").text(source);
            }
        }
        ir::Document bare;
        bare.source.kind = ir::SourceKind::blocks;
        bare.source.blocks = block ? (*block)["content"].raw() : RawJson{};
        writer.key("text").open_text();
        text.write({bare}, writer);
        writer.close_text();
    }
    writer.end().end();
}

}  // namespace llm::cohere
