// Request::system and Request::turns -> instructions and the input items of a Responses request.
//
// Entry point: render_input. Parts keep their order: texts and media that follow each other are
// one message, reasoning and calls are items of their own. The order rules of api.openai.com hold
// for whatever came in: every call has one output behind its turn, a missing one is made up, one
// without a call is left out; reasoning stands before what it led to, or is left out. Reasoning
// goes back only to who made it, and only with its encrypted content, because ids alone mean
// nothing where nothing was stored.
#include "translators/dialect/function_tools.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/render_hints.hpp"
#include "translators/dialect/responses_render.hpp"
#include "translators/dialect/turn_walk.hpp"

namespace llm::responses {

namespace {

bool is_family(DialectId dialect) {
    return dialect == DialectId::openai || dialect == DialectId::responses;
}

// A content part of this dialect; everything else opaque is an item.
bool is_content_part(const ir::Opaque &opaque) {
    return opaque.dialect == DialectId::responses &&
           (opaque.type.bytes.starts_with("input_") || opaque.type.bytes.starts_with("output_"));
}

// An item that only this dialect has. Types that the IR models cannot be ones: as content parts,
// which nobody knows either, they would come out as something else.
bool is_item(const ir::Opaque &opaque) {
    constexpr std::string_view kModelled[] = {
        "message",          "reasoning",
        "function_call",    "function_call_output",
        "custom_tool_call", "custom_tool_call_output",
    };
    for (std::string_view type : kModelled) {
        if (json::equals(opaque.type, type)) {
            return false;
        }
    }
    return opaque.dialect == DialectId::responses && !is_content_part(opaque);
}

class InputWriter {
  public:
    explicit InputWriter(const RenderJob &job)
        : job_(job), request_(job.request), writer_(job.writer) {}

    Status write();

    // For walk_turns.
    void system(const Texts &texts);
    Result<size_t> user(size_t turn);
    Status assistant(const ir::Turn &turn);
    Status results(const Step &step);

  private:
    Status write_user(const ir::Turn &turn);
    Status write_call(const ir::ToolCall &call);
    void write_reasoning(const ir::Reasoning &reasoning);
    Status write_result(JsonText call_id, bool is_custom, const ir::ToolResult *result);

    void open_message(std::string_view role);
    void close_message();
    // False: left out. An error where that would change the meaning.
    Result<bool> can_say(const ir::Part &part);
    Status write_part(const ir::Part &part);
    void write_text_part(std::string_view type, const ir::Part &part);
    void write_image(const ir::Image &image);
    void write_document(const ir::Document &document);
    void note_marks(const ir::Part &part);

    const RenderJob &job_;
    const ir::Request &request_;
    json::Writer &writer_;
    PartText text_;
    json::Reader reader_;  // for blocks that only their raw JSON describes
    bool is_message_open_ = false;
};

Status InputWriter::write() {
    const std::vector<ir::Turn> &turns = request_.turns;
    Texts texts = texts_of(request_.system);
    bool has_system = has_text(texts);
    if (turns.empty() && !has_system) {
        return {};  // what the provider has stored is the input
    }
    bool is_stored = turns.empty() && leans_on_stored(request_);
    if ((!turns.empty() || is_stored) && has_system) {
        writer_.key("instructions").open_text();
        write_paragraphs(texts, job_);
        writer_.close_text();
    }
    if (is_stored) {
        return {};
    }
    writer_.key("input").array();
    if (turns.empty()) {
        system(texts);  // there must be some input: instructions alone are refused
    }
    LLM_TRY(walk_turns(job_, *this));
    close_message();
    writer_.end();
    return {};
}

// --- turns ----------------------------------------------------------------------------------

// Turns of the assistant that follow each other are one: its message goes on.
void InputWriter::system(const Texts &texts) {
    close_message();
    if (!has_text(texts)) {
        return;
    }
    open_message(job_.target.traits.developer_role ? "developer" : "system");
    writer_.object().key("type").plain("input_text").key("text").open_text();
    write_paragraphs(texts, job_);
    writer_.close_text().end();
    close_message();
}

Result<size_t> InputWriter::user(size_t turn) {
    close_message();
    LLM_TRY(write_user(request_.turns[turn]));
    return turn + 1;
}

// --- content --------------------------------------------------------------------------------

void InputWriter::open_message(std::string_view role) {
    if (!is_message_open_) {
        is_message_open_ = true;
        writer_.object().key("type").plain("message").key("role").plain(role);
        writer_.key("content").array();
    }
}

void InputWriter::close_message() {
    if (is_message_open_) {
        is_message_open_ = false;
        writer_.end().end();
    }
}

void InputWriter::note_marks(const ir::Part &part) {
    if (const auto *text = std::get_if<ir::Text>(&part.is)) {
        job_.note_cache(text->cache);
    } else if (const auto *image = std::get_if<ir::Image>(&part.is)) {
        job_.note_cache(image->cache);
    } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
        job_.note_cache(document->cache);
        if (!document->context.empty() && !PartText::has_text(part)) {
            job_.note("context");
        }
        Result<json::Value> citations = reader_.parse_unpadded(document->citations.bytes);
        if (citations && citations.value()["enabled"].is_true()) {
            job_.note("citations");
        }
    }
}

Result<bool> InputWriter::can_say(const ir::Part &part) {
    note_marks(part);
    if (PartText::has_text(part)) {
        return true;
    }
    if (std::holds_alternative<ir::Text>(part.is)) {
        return false;  // empty
    }
    bool is_known = false;
    std::string_view name = "content";
    if (const auto *image = std::get_if<ir::Image>(&part.is)) {
        is_known = image->source.kind == ir::SourceKind::base64 ||
                   image->source.kind == ir::SourceKind::url ||
                   (image->source.kind == ir::SourceKind::file_id && is_family(request_.dialect));
        name = "image.file_id";
    } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
        is_known = document->source.kind != ir::SourceKind::file_id || is_family(request_.dialect);
        name = "document.file_id";
    } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
        is_known = is_content_part(*opaque);
        name = opaque->type.bytes;
    } else {
        is_known = std::holds_alternative<ir::Audio>(part.is);
    }
    if (!is_known) {
        LLM_TRY(job_.leave_out("responses have no such content", name));
    }
    return is_known;
}

void InputWriter::write_text_part(std::string_view type, const ir::Part &part) {
    writer_.object().key("type").plain(type).key("text").open_text();
    text_.write(part, writer_);
    writer_.close_text();
    if (type == "output_text") {
        writer_.key("annotations").array().end();
    }
    writer_.end();
}

// One content part of a user message or a result, into an open array.
Status InputWriter::write_part(const ir::Part &part) {
    if (PartText::has_text(part)) {
        write_text_part("input_text", part);
    } else if (const auto *image = std::get_if<ir::Image>(&part.is)) {
        write_image(*image);
    } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
        write_document(*document);
    } else if (const auto *audio = std::get_if<ir::Audio>(&part.is)) {
        writer_.object().key("type").plain("input_audio").key("input_audio").object();
        writer_.key("data").text(audio->data).key("format").text(audio->format);
        writer_.end().end();
    } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
        writer_.raw(opaque->json);
    }
    return {};
}

void InputWriter::write_image(const ir::Image &image) {
    const ir::Source &source = image.source;
    writer_.object().key("type").plain("input_image");
    if (source.kind == ir::SourceKind::file_id) {
        writer_.key("file_id").text(source.data);
    } else if (source.kind == ir::SourceKind::url) {
        writer_.key("image_url").text(source.data);
    } else {
        JsonText mime = trusted_mime(source.mime, source.data);
        mime = mime.empty() ? JsonText{"image/png"} : mime;
        writer_.key("image_url").text(make_data_url(mime, source.data, job_.arena));
    }
    if (!image.detail.empty()) {
        writer_.key("detail").text(image.detail);
    }
    writer_.end();
}

void InputWriter::write_document(const ir::Document &document) {
    const ir::Source &source = document.source;
    bool is_image = source.kind == ir::SourceKind::base64 &&
                    trusted_mime(source.mime, source.data).bytes.starts_with("image/");
    if (is_image) {
        write_image({source, {}, {}});
        return;
    }
    writer_.object().key("type").plain("input_file");
    if (source.kind == ir::SourceKind::file_id) {
        writer_.key("file_id").text(source.data);
    } else if (source.kind == ir::SourceKind::url) {
        writer_.key("file_url").text(source.data);
    } else {
        JsonText mime = trusted_mime(source.mime, source.data);
        mime = mime.empty() ? JsonText{"application/pdf"} : mime;
        writer_.key("filename");
        writer_.text(document.title.empty() ? JsonText{"document.pdf"} : document.title);
        writer_.key("file_data").text(make_data_url(mime, source.data, job_.arena));
    }
    writer_.end();
}

// --- turns ----------------------------------------------------------------------------------

Status InputWriter::write_user(const ir::Turn &turn) {
    bool has_content = turn.parts.empty();  // something that should be there
    bool is_written = false;
    for (const ir::Part &part : turn.parts) {
        if (std::holds_alternative<ir::ToolResult>(part.is)) {
            continue;  // written behind the turn that made the call
        }
        has_content = true;
        if (const auto *item = std::get_if<ir::Opaque>(&part.is);
            item != nullptr && is_item(*item)) {
            close_message();
            writer_.raw(item->json);
            is_written = true;
            continue;
        }
        Result<bool> known = can_say(part);
        if (!known) {
            return known.error();
        }
        if (*known) {
            open_message("user");
            LLM_TRY(write_part(part));
            is_written = true;
        }
    }
    if (has_content && !is_written) {
        open_message("user");
        writer_.object().key("type").plain("input_text").key("text").plain("(empty)").end();
    }
    close_message();
    return {};
}

bool is_own_reasoning(const ir::Part &part) {
    const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
    return reasoning != nullptr && reasoning->origin == DialectId::responses &&
           !reasoning->is_redacted && !reasoning->signature.empty();
}

// Something that reasoning can lead to.
bool is_output(const ir::Part &part) {
    const auto *opaque = std::get_if<ir::Opaque>(&part.is);
    return PartText::has_text(part) || std::holds_alternative<ir::ToolCall>(part.is) ||
           (opaque != nullptr && is_item(*opaque));
}

Status InputWriter::assistant(const ir::Turn &turn) {
    size_t outputs_left = 0;
    for (const ir::Part &part : turn.parts) {
        outputs_left += is_output(part) ? 1 : 0;
    }
    for (const ir::Part &part : turn.parts) {
        outputs_left -= is_output(part) ? 1 : 0;
        if (is_own_reasoning(part)) {
            if (outputs_left > 0) {
                close_message();
                write_reasoning(*std::get_if<ir::Reasoning>(&part.is));
            } else {
                job_.note(thoughts_name(request_.dialect));
            }
        } else if (const auto *thought = std::get_if<ir::Reasoning>(&part.is)) {
            if (says_anything(*thought)) {
                job_.note(thoughts_name(request_.dialect));
            }
        } else if (const auto *call = std::get_if<ir::ToolCall>(&part.is)) {
            close_message();
            LLM_TRY(write_call(*call));
        } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
            if (is_item(*opaque)) {
                close_message();
                writer_.raw(opaque->json);
            } else {
                // Blocks of tools that the provider ran: their outcome is in the text around.
                job_.note(opaque->type.bytes);
            }
        } else if (const auto *refusal = std::get_if<ir::Refusal>(&part.is)) {
            open_message("assistant");
            writer_.object().key("type").plain("refusal").key("refusal").text(refusal->text).end();
        } else if (PartText::has_text(part)) {
            note_marks(part);
            open_message("assistant");
            write_text_part("output_text", part);
        }
    }
    return {};
}

void InputWriter::write_reasoning(const ir::Reasoning &reasoning) {
    writer_.object().key("type").plain("reasoning");
    if (!reasoning.id.empty()) {
        writer_.key("id").text(reasoning.id);
    }
    writer_.key("summary").array();
    if (!reasoning.text.empty()) {
        writer_.object().key("type").plain("summary_text").key("text").text(reasoning.text).end();
    }
    writer_.end().key("encrypted_content").text(reasoning.signature).end();
}

Status InputWriter::write_call(const ir::ToolCall &call) {
    job_.note_cache(call.cache);
    if (job_.notes.renamed.size() > kMaxRenamed) {
        return invalid("too many tools with unusable names", "input");
    }
    JsonText name = tool_name_for_target(call.name, job_.notes.renamed, job_.arena);
    writer_.object().key("type").plain(call.custom ? "custom_tool_call" : "function_call");
    writer_.key("call_id").text(call_id_for_responses(call.id, job_.arena));
    writer_.key("name").text(name);
    if (call.custom) {
        writer_.key("input").plain(call.arguments);
    } else {
        writer_.key("arguments").plain(function_arguments(call, job_.arena));
    }
    writer_.end();
    return {};
}

// --- results --------------------------------------------------------------------------------

Status InputWriter::results(const Step &step) {
    for (const AnsweredCall &pair : step.calls) {
        LLM_TRY(write_result(pair.call->id, pair.call->custom, pair.result));
    }
    if (step.has_replaced) {
        job_.note("tool_result");
    }
    for (const ir::ToolResult *stray : step.strays) {
        if (leans_on_stored(request_)) {
            LLM_TRY(write_result(stray->call_id, false, stray));
        } else {
            job_.note("tool_result");
        }
    }
    return {};
}

Status InputWriter::write_result(JsonText call_id, bool is_custom, const ir::ToolResult *result) {
    std::vector<const ir::Part *> parts;
    bool is_text = true;
    if (result != nullptr) {
        job_.note_cache(result->cache);
        for (const ir::Part &part : result->parts) {
            Result<bool> known = can_say(part);
            if (!known) {
                return known.error();
            }
            if (*known) {
                parts.push_back(&part);
                is_text = is_text && PartText::has_text(part);
            }
        }
    }
    bool is_error = result == nullptr || result->is_error;
    if (!parts.empty()) {
        const auto *first = std::get_if<ir::Text>(&parts[0]->is);
        is_error = is_error && (first == nullptr || !says_error(first->text));
    }
    close_message();
    writer_.object().key("type");
    writer_.plain(is_custom ? "custom_tool_call_output" : "function_call_output");
    writer_.key("call_id").text(call_id_for_responses(call_id, job_.arena));
    writer_.key("output");
    if (is_text) {
        writer_.open_text();
        if (is_error) {
            writer_.piece(JsonText{result == nullptr ? "Error: [no result]" : "Error: "});
        }
        bool is_first = true;
        for (const ir::Part *part : parts) {
            if (!is_first) {
                writer_.piece(JsonText{"\\n\\n"});
            }
            is_first = false;
            text_.write(*part, writer_);
        }
        writer_.close_text();
    } else {
        writer_.array();
        if (is_error) {
            writer_.object().key("type").plain("input_text").key("text").plain("Error:").end();
        }
        for (const ir::Part *part : parts) {
            LLM_TRY(write_part(*part));
        }
        writer_.end();
    }
    writer_.end();
    return {};
}

}  // namespace

bool leans_on_stored(const ir::Request &request) {
    if (request.dialect != DialectId::responses) {
        return false;
    }
    for (const ir::Extra &extra : request.extra) {
        if (json::equals(extra.name, "previous_response_id") ||
            json::equals(extra.name, "conversation")) {
            return true;
        }
    }
    return false;
}

Status render_input(const RenderJob &job) {
    return InputWriter(job).write();
}

}  // namespace llm::responses
