// The conversation as generateContent wants it. build_contents() merges turns of one role, answers
// every call in the very next content and in the order of the calls (Vertex AI pairs them by their
// place), puts signatures back on the parts that they came on, drops what cannot be sent and fills
// what would be empty. The same history gives the same bytes on every turn.
//
// Invariants: contents begin with the user and alternate, none is empty, every functionCall is
// answered once. Models that demand signatures (ModelTraits::thinking_level) find one on the first
// call of each step of the current turn, be it the documented placeholder.
#include <unordered_map>

#include "translators/dialect/gemini_render.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/tool_arguments.hpp"

namespace llm::gemini {

namespace {

using ir::Part;
using ir::Role;
using What = Piece::What;

constexpr std::string_view kPlaceholder = "skip_thought_signature_validator";

const JsonText *text_of(const Part &part) {
    if (const ir::Text *text = std::get_if<ir::Text>(&part.is)) {
        return &text->text;
    }
    if (const ir::Refusal *refusal = std::get_if<ir::Refusal>(&part.is)) {
        return &refusal->text;
    }
    return nullptr;
}

// Data addresses as the bytes they hold.
ir::Source resolve(const ir::Source &source, Arena &arena) {
    ir::Source resolved = source;
    if (source.kind == ir::SourceKind::url) {
        if (std::optional<DataUrl> data = parse_data_url(source.data, arena)) {
            resolved.kind = ir::SourceKind::base64;
            resolved.mime = data->mime;
            resolved.data = data->data;
        }
    }
    if (resolved.kind == ir::SourceKind::base64) {
        resolved.mime = trusted_mime(resolved.mime, resolved.data);
    }
    return resolved;
}

bool is_image_mime(JsonText mime) {
    for (std::string_view known : {"image/png", "image/jpeg", "image/webp", "image/heic",
                                   "image/heif", "image/gif", "image/avif"}) {
        if (json::equals(mime, known)) {
            return true;
        }
    }
    return false;
}

// The media type by the ending of an address.
std::string_view mime_of_address(JsonText address, std::string_view otherwise) {
    std::string_view path = address.bytes.substr(0, address.bytes.find_first_of("?#"));
    size_t dot = path.rfind('.');
    std::string_view ending = dot == std::string_view::npos ? std::string_view() : path.substr(dot);
    constexpr struct {
        std::string_view ending, mime;
    } kEndings[] = {{".png", "image/png"},   {".jpg", "image/jpeg"},   {".jpeg", "image/jpeg"},
                    {".webp", "image/webp"}, {".gif", "image/gif"},    {".heic", "image/heic"},
                    {".mp4", "video/mp4"},   {".mp3", "audio/mpeg"},   {".wav", "audio/wav"},
                    {".txt", "text/plain"},  {".md", "text/markdown"}, {".pdf", "application/pdf"}};
    for (const auto &row : kEndings) {
        if (ending == row.ending) {
            return row.mime;
        }
    }
    return otherwise;
}

std::string_view audio_mime(JsonText format) {
    constexpr struct {
        std::string_view format, mime;
    } kFormats[] = {{"mp3", "audio/mpeg"}, {"wav", "audio/wav"},   {"aac", "audio/aac"},
                    {"ogg", "audio/ogg"},  {"flac", "audio/flac"}, {"aiff", "audio/aiff"},
                    {"m4a", "audio/m4a"},  {"opus", "audio/opus"}, {"pcm16", "audio/pcm"}};
    for (const auto &row : kFormats) {
        if (json::equals(format, row.format)) {
            return row.mime;
        }
    }
    return {};
}

bool can_send(const RenderJob &job, const ir::Source &given, bool is_image) {
    ir::Source source = resolve(given, job.arena);
    switch (source.kind) {
        case ir::SourceKind::base64:
            return !source.mime.empty() &&
                   (!is_image || job.is_own() || is_image_mime(source.mime));
        case ir::SourceKind::url:
            return job.is_own() || job.is_vertex() || job.is_modern();
        case ir::SourceKind::file_id:
            return job.is_own();
        case ir::SourceKind::text:
            return true;
        case ir::SourceKind::blocks:
            return false;
    }
    return false;
}

// The parameter to blame when the part cannot be sent; empty when it can.
std::string_view unsupported_part(const RenderJob &job, const Part &part) {
    if (const ir::Image *image = std::get_if<ir::Image>(&part.is)) {
        return can_send(job, image->source, true) ? std::string_view() : "image_url";
    }
    if (const ir::Document *document = std::get_if<ir::Document>(&part.is)) {
        return can_send(job, document->source, false) ? std::string_view() : "file";
    }
    if (const ir::Audio *audio = std::get_if<ir::Audio>(&part.is)) {
        return audio_mime(audio->format).empty() ? "input_audio" : std::string_view();
    }
    if (const ir::Opaque *opaque = std::get_if<ir::Opaque>(&part.is)) {
        return opaque->dialect == DialectId::gemini ? std::string_view() : "messages.content";
    }
    return {};
}

class Builder {
  public:
    explicit Builder(const RenderJob &job) : job_(job) {}

    Status build(std::vector<Content> &contents) {
        for (const ir::Turn &turn : job_.request.turns) {
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
        assemble(contents);
        LLM_TRY(last_content(contents));
        if (job_.target.traits.thinking_level) {
            sign_current_turn(contents);
        }
        return {};
    }

  private:
    struct Call {
        const ir::ToolCall *call;
        const Part *result;
    };

    // --- turns ------------------------------------------------------------------------------

    Status assistant(const ir::Turn &turn) {
        std::vector<Piece> pieces;
        LLM_TRY(signed_pieces(turn, pieces));
        if (pieces.empty()) {
            return {};
        }
        bool goes_on = !contents_.empty() && contents_.back().is_model && !is_answered_;
        if (!goes_on) {
            contents_.push_back({true, {}});
            calls_.resize(contents_.size());
            by_id_.clear();
            step_ = contents_.size() - 1;
            is_answered_ = false;
        }
        for (Piece &piece : pieces) {
            const ir::ToolCall *call =
                piece.what == What::part ? std::get_if<ir::ToolCall>(&piece.part->is) : nullptr;
            if (call != nullptr) {
                by_id_[call->id.bytes] = calls_[step_].size();
                calls_[step_].push_back({call, nullptr});
            }
            contents_.back().pieces.push_back(piece);
        }
        return {};
    }

    // Reasoning is not sent itself: its signature goes to the call behind it or the text before it,
    // and if neither stands there, to the next call or the last text.
    Status signed_pieces(const ir::Turn &turn, std::vector<Piece> &pieces) {
        JsonText pending;
        for (size_t i = 0; i < turn.parts.size(); ++i) {
            const Part &part = turn.parts[i];
            const ir::Reasoning *reasoning = std::get_if<ir::Reasoning>(&part.is);
            if (reasoning == nullptr) {
                size_t before = pieces.size();
                LLM_TRY(add(part, pieces));
                bool is_call = std::holds_alternative<ir::ToolCall>(part.is);
                if (is_call && pieces.size() > before) {
                    pieces.back().signature = pending;
                    pending = {};
                }
                continue;
            }
            if (reasoning->origin != DialectId::gemini || reasoning->signature.empty()) {
                continue;
            }
            bool is_before_call = i + 1 < turn.parts.size() &&
                                  std::holds_alternative<ir::ToolCall>(turn.parts[i + 1].is);
            bool is_behind = i > 0 && !pieces.empty() && pieces.back().part == &turn.parts[i - 1] &&
                             takes_signature(pieces.back());
            if (is_behind && !is_before_call) {
                pieces.back().signature = reasoning->signature;
            } else {
                pending = reasoning->signature;
            }
        }
        if (pending.empty()) {
            return {};
        }
        if (!pieces.empty() && takes_signature(pieces.back())) {
            pieces.back().signature = pending;
        } else {
            pieces.push_back({What::text, nullptr, nullptr, {}, pending});
        }
        return {};
    }

    static bool takes_signature(const Piece &piece) {
        return piece.signature.empty() && piece.what == What::part &&
               (text_of(*piece.part) != nullptr ||
                std::holds_alternative<ir::Image>(piece.part->is));
    }

    Status user(const ir::Turn &turn) {
        std::vector<Piece> pieces;
        bool has_result = false;
        for (const Part &part : turn.parts) {
            if (const ir::ToolResult *result = std::get_if<ir::ToolResult>(&part.is)) {
                for (const Part &nested : result->parts) {
                    LLM_TRY(check(nested));
                }
                has_result = true;
                auto call = by_id_.find(result->call_id.bytes);
                if (call == by_id_.end()) {
                    job_.notes.drop("tool_result");
                    continue;
                }
                calls_[step_][call->second].result = &part;
                is_answered_ = true;
                continue;
            }
            if (!std::holds_alternative<ir::Reasoning>(part.is)) {
                LLM_TRY(add(part, pieces));
            }
        }
        if (!pieces.empty() || !has_result) {
            append(pieces);
        }
        return {};
    }

    // Where it stands, so that what came before it stays the same prefix.
    void system(const ir::Turn &turn) {
        std::vector<Piece> pieces;
        for (const Part &part : turn.parts) {
            const JsonText *text = text_of(part);
            if (text != nullptr && !json::is_blank(*text)) {
                ByteBuffer out;
                out.append("<system>");
                out.append(text->bytes);
                out.append("</system>");
                pieces.push_back({What::text, nullptr, nullptr, {job_.arena.copy(out.view())}, {}});
            }
        }
        if (!pieces.empty()) {
            append(pieces);
        }
    }

    void append(const std::vector<Piece> &pieces) {
        if (contents_.empty() || contents_.back().is_model) {
            contents_.push_back({false, {}});
            calls_.resize(contents_.size());
        }
        std::vector<Piece> &into = contents_.back().pieces;
        into.insert(into.end(), pieces.begin(), pieces.end());
    }

    // --- parts ------------------------------------------------------------------------------

    Status add(const Part &part, std::vector<Piece> &pieces) {
        if (const JsonText *text = text_of(part); text != nullptr && text->empty()) {
            return {};
        }
        bool is_sent = true;
        LLM_TRY(check(part, &is_sent));
        if (is_sent) {
            pieces.push_back({What::part, &part, nullptr, {}, {}});
        }
        return {};
    }

    // `is_sent`: false when it is left out.
    Status check(const Part &part, bool *is_sent = nullptr) {
        const ir::Image *image = std::get_if<ir::Image>(&part.is);
        if (image != nullptr && !image->detail.empty() && !json::equals(image->detail, "auto")) {
            job_.notes.drop("detail");
        }
        std::string_view blamed = unsupported_part(job_, part);
        if (blamed.empty()) {
            return {};
        }
        if (is_sent != nullptr) {
            *is_sent = false;
        }
        return job_.refuse("the target does not take this kind of content", blamed);
    }

    // --- the whole --------------------------------------------------------------------------

    // Results go first in the content behind their calls.
    void assemble(std::vector<Content> &contents) {
        if (contents_.empty() || contents_.front().is_model) {
            contents.push_back({false, {{What::text, nullptr, nullptr, {" "}, {}}}});
        }
        std::vector<Piece> results;
        for (size_t i = 0; i < contents_.size(); ++i) {
            Content &content = contents_[i];
            if (!results.empty()) {
                if (!content.is_model) {
                    content.pieces.insert(content.pieces.begin(), results.begin(), results.end());
                } else {
                    contents.push_back({false, results});
                }
                results.clear();
            }
            if (content.pieces.empty()) {
                content.pieces.push_back({What::text, nullptr, nullptr, {"(empty)"}, {}});
            }
            contents.push_back(std::move(content));
            for (const Call &call : calls_[i]) {
                What what = call.result != nullptr ? What::result : What::no_result;
                results.push_back({what, call.result, call.call, {}, {}});
            }
        }
        if (!results.empty()) {
            contents.push_back({false, std::move(results)});
        }
    }

    Status last_content(std::vector<Content> &contents) {
        if (!contents.back().is_model || job_.target.traits.prefill) {
            return {};
        }
        LLM_TRY(job_.refuse("the model does not continue an assistant message", "prefill"));
        contents.pop_back();  // what is before it is the user's, see assemble()
        return {};
    }

    // The current turn is all since the user last said something; a result is nothing said.
    void sign_current_turn(std::vector<Content> &contents) {
        for (size_t i = contents.size(); i-- > 0;) {
            Content &content = contents[i];
            if (!content.is_model) {
                for (const Piece &piece : content.pieces) {
                    if (piece.what == What::text || piece.what == What::part) {
                        return;
                    }
                }
                continue;
            }
            for (Piece &piece : content.pieces) {
                if (piece.what == What::part &&
                    std::holds_alternative<ir::ToolCall>(piece.part->is)) {
                    if (piece.signature.empty()) {
                        piece.signature = {kPlaceholder};
                    }
                    break;
                }
            }
        }
    }

    const RenderJob &job_;
    std::vector<Content> contents_;
    std::vector<std::vector<Call>> calls_;                // beside contents_
    std::unordered_map<std::string_view, size_t> by_id_;  // calls of the latest step
    size_t step_ = 0;
    bool is_answered_ = false;  // a result of the step was seen
};

// --- writing --------------------------------------------------------------------------------

class PieceWriter {
  public:
    PieceWriter(const RenderJob &job, json::Writer &writer) : job_(job), writer_(writer) {}

    void content(const Content &content) {
        writer_.object().key("role").plain(content.is_model ? "model" : "user");
        writer_.key("parts").array();
        bool has_text = content.is_model;
        for (const Piece &piece : content.pieces) {
            has_text = has_text || piece.what != What::part || text_of(*piece.part) != nullptr;
            write(piece);
        }
        for (const Piece &piece : content.pieces) {
            if (piece.what == What::result && !job_.target.traits.thinking_level) {
                hoist(std::get<ir::ToolResult>(piece.part->is));
            }
        }
        if (!has_text && job_.is_vertex()) {
            writer_.object().key("text").plain(" ").end();
        }
        writer_.end().end();
    }

  private:
    void write(const Piece &piece) {
        switch (piece.what) {
            case What::part:
                part(piece);
                return;
            case What::text:
                writer_.object().key("text").text(piece.text);
                close(piece.signature);
                return;
            case What::result:
                open_result(*piece.call);
                result(std::get<ir::ToolResult>(piece.part->is));
                writer_.end().end();
                return;
            case What::no_result:
                open_result(*piece.call);
                writer_.key("response").raw({"{\"error\":\"[no result]\"}"});
                writer_.end().end();
                return;
        }
    }

    void part(const Piece &piece) {
        const Part &part = *piece.part;
        if (const ir::Opaque *opaque = std::get_if<ir::Opaque>(&part.is)) {
            writer_.raw(opaque->json);
            return;
        }
        if (const JsonText *text = text_of(part)) {
            writer_.object().key("text").text(*text);
        } else if (const ir::ToolCall *call = std::get_if<ir::ToolCall>(&part.is)) {
            writer_.object().key("functionCall").object();
            id(call->id);
            writer_.key("name").text(job_.tool_name(call->name)).key("args");
            if (call->custom) {
                writer_.object().key("input").plain(call->arguments).end();
            } else {
                writer_.raw(arguments_as_object(call->arguments, job_.arena));
            }
            writer_.end();
        } else {
            media(part);
            return;
        }
        close(piece.signature);
    }

    void close(JsonText signature) {
        if (!signature.empty()) {
            writer_.key("thoughtSignature").text(signature);
        }
        writer_.end();
    }

    // Vertex AI refuses ids in part: it pairs by place.
    void id(JsonText id) {
        if (!id.empty() && !job_.is_vertex()) {
            writer_.key("id").text(id);
        }
    }

    void open_result(const ir::ToolCall &call) {
        writer_.object().key("functionResponse").object();
        id(call.id);
        writer_.key("name").text(job_.tool_name(call.name));
    }

    bool is_media(const Part &part) const {
        return (std::holds_alternative<ir::Image>(part.is) ||
                std::holds_alternative<ir::Document>(part.is) ||
                std::holds_alternative<ir::Audio>(part.is)) &&
               unsupported_part(job_, part).empty();
    }

    void result(const ir::ToolResult &result) {
        ByteBuffer joined;
        size_t texts = 0;
        bool has_media = false;
        for (const Part &part : result.parts) {
            has_media = has_media || is_media(part);
            if (const JsonText *text = text_of(part)) {
                joined.append(texts++ > 0 ? "\\n" : "");
                joined.append(text->bytes);
            }
        }
        JsonText text = {job_.arena.copy(joined.view())};
        std::string_view plain = json::unescape(text, job_.arena);
        size_t first = plain.find_first_not_of(" \t\r\n");
        bool is_object = first != std::string_view::npos && plain[first] == '{';
        if (is_object) {
            json::Limits limits;
            limits.max_depth = kMaxResultDepth;
            Result<json::Value> parsed = reader_.parse_unpadded(plain, limits);
            is_object = static_cast<bool>(parsed);
        }
        writer_.key("response");
        if (is_object && !result.is_error) {
            size_t last = plain.find_last_not_of(" \t\r\n");
            writer_.raw({plain.substr(first, last + 1 - first)});
        } else {
            writer_.object().key(result.is_error ? "error" : "result").text(text).end();
        }
        if (has_media && job_.target.traits.thinking_level) {
            writer_.key("parts").array();
            for (const Part &part : result.parts) {
                if (is_media(part)) {
                    media(part);
                }
            }
            writer_.end();
        }
    }

    // Models that take no media inside of a result get them behind the results.
    void hoist(const ir::ToolResult &result) {
        for (const Part &part : result.parts) {
            if (is_media(part)) {
                media(part);
            }
        }
    }

    void media(const Part &part) {
        if (const ir::Audio *audio = std::get_if<ir::Audio>(&part.is)) {
            std::string_view mime = audio_mime(audio->format);
            if (!mime.empty()) {
                inline_data({mime}, audio->data);
            }
            return;
        }
        const ir::Image *image = std::get_if<ir::Image>(&part.is);
        const ir::Document *document = std::get_if<ir::Document>(&part.is);
        if (image == nullptr && document == nullptr) {
            return;
        }
        ir::Source source =
            resolve(image != nullptr ? image->source : document->source, job_.arena);
        switch (source.kind) {
            case ir::SourceKind::base64:
                if (!source.mime.empty()) {
                    inline_data(source.mime, source.data);
                }
                return;
            case ir::SourceKind::url:
            case ir::SourceKind::file_id: {
                std::string_view otherwise = image != nullptr ? "image/jpeg" : "application/pdf";
                writer_.object().key("fileData").object().key("mimeType");
                if (source.mime.empty()) {
                    writer_.plain(mime_of_address(source.data, otherwise));
                } else {
                    writer_.text(source.mime);
                }
                writer_.key("fileUri").text(source.data).end().end();
                return;
            }
            case ir::SourceKind::text:
                writer_.object().key("text").open_text();
                if (document != nullptr && !document->title.empty()) {
                    writer_.piece(document->title).piece_plain("\n\n");
                }
                writer_.piece(source.data).close_text().end();
                return;
            case ir::SourceKind::blocks:
                return;  // never part of contents
        }
    }

    void inline_data(JsonText mime, JsonText data) {
        writer_.object().key("inlineData").object().key("mimeType").text(mime);
        writer_.key("data").text(data).end().end();
    }

    static constexpr uint32_t kMaxResultDepth = 400;  // with what stands around it

    const RenderJob &job_;
    json::Writer &writer_;
    json::Reader reader_;
};

}  // namespace

Status build_contents(const RenderJob &job, std::vector<Content> &contents) {
    return Builder(job).build(contents);
}

void write_contents(const RenderJob &job, const std::vector<Content> &contents,
                    json::Writer &writer) {
    PieceWriter pieces(job, writer);
    writer.array();
    for (const Content &content : contents) {
        pieces.content(content);
    }
    writer.end();
}

}  // namespace llm::gemini
