// The contents of a Gemini request as turns. Two things have no place of their own in the dialect:
//
// Call ids. A client may leave them out; then a call is named after its place (requests.md R10) and
// the responses that follow belong to the calls of their name in order, or else to the next call
// without one. Same history, same ids, in every request.
//
// Signatures. One that stands on a call becomes reasoning before the call, one on a text reasoning
// behind it; thoughts in several parts are one block, ended by the part that carries a signature.
#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "translators/core/base64.hpp"
#include "translators/dialect/gemini_request.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/tool_names.hpp"

namespace llm::gemini {

namespace {

using json::Value;

// Calls of one step: each response looks for its own among them.
constexpr size_t kMaxCalls = 1024;
// Members beside the data of a part, which say nothing that another dialect could.
constexpr std::string_view kBeside[] = {"videoMetadata", "mediaResolution", "partMetadata"};
// Data of a part that Google's own tools leave.
constexpr std::string_view kServerData[] = {"executableCode", "codeExecutionResult", "toolCall",
                                            "toolResponse"};

JsonText concat(JsonText a, JsonText b, Arena &arena) {
    if (a.empty() || b.empty()) {
        return a.empty() ? b : a;
    }
    char *start = arena.allocate(a.bytes.size() + b.bytes.size());
    memcpy(start, a.bytes.data(), a.bytes.size());
    memcpy(start + a.bytes.size(), b.bytes.data(), b.bytes.size());
    return {{start, a.bytes.size() + b.bytes.size()}};
}

ir::Text text_of(JsonText text) {
    ir::Text made;
    made.text = text;
    return made;
}

class ContentsReader {
  public:
    ContentsReader(Arena &arena, ir::Request &request) : arena_(arena), request_(request) {}

    Status content(Value value) {
        if (value.is_string()) {
            turn(ir::Role::user).parts.push_back({text_of(value.text())});
            return {};
        }
        if (!value.is_object()) {
            return invalid("every content must be an object with parts", "contents");
        }
        if (value.find("parts").absent() && value.find("role").absent()) {
            return part(value, turn(ir::Role::user));  // a bare part, as a content of its own
        }
        ir::Role role = ir::Role::user;
        Value name = value.find("role");
        if (name.equals("model")) {
            role = ir::Role::assistant;
        } else if (!name.is_unset() && !name.equals("user") && !name.equals("function") &&
                   !name.equals("")) {
            return invalid("must be user or model", "contents.role");
        }
        ir::Turn &made = turn(role);
        Value parts = value.find("parts");
        if (parts.is_object()) {
            return part(parts, made);
        }
        if (!parts.is_array() && !parts.is_unset()) {
            return invalid("must be an array", "contents.parts");
        }
        made.parts.reserve(parts.size());
        for (Value one : parts.items()) {
            LLM_TRY(part(one, made));
        }
        return {};
    }

  private:
    struct Pending {
        JsonText id;
        JsonText name;
        bool is_answered = false;
    };

    ir::Turn &turn(ir::Role role) {
        calls_ = 0;
        is_after_user_ = is_after_user_ || role == ir::Role::user;
        request_.turns.emplace_back().role = role;
        return request_.turns.back();
    }

    void note(std::string_view name) {
        std::vector<std::string_view> &names = request_.unmodelled;
        if (std::find(names.begin(), names.end(), name) == names.end()) {
            names.push_back(name);
        }
    }

    Status part(Value value, ir::Turn &turn) {
        if (value.is_string()) {
            turn.parts.push_back({text_of(value.text())});
            return {};
        }
        if (!value.is_object()) {
            return invalid("every part must be an object", "contents.parts");
        }
        for (std::string_view beside : kBeside) {
            if (!member(value, beside).is_unset()) {
                note(beside);
            }
        }
        JsonText signature;
        LLM_TRY(read_text(member(value, "thoughtSignature"), "contents.parts.thoughtSignature",
                          signature));
        if (Value call = member(value, "functionCall"); !call.is_unset()) {
            sign_call(signature, turn);
            return function_call(call, turn);
        }
        if (Value response = member(value, "functionResponse"); !response.is_unset()) {
            return function_response(response, turn);
        }
        Value text = value.find("text");
        if (!text.is_unset() && !text.is_string()) {
            return invalid("must be a string", "contents.parts.text");
        }
        if (value.find("thought").is_true() && !text.is_unset()) {
            thought(text.text(), signature, turn);
            return {};
        }
        bool is_text = text.is_string() && !(text.text().empty() && !signature.empty());
        if (is_text) {
            turn.parts.push_back({text_of(text.text())});
        } else if (text.is_unset()) {
            bool is_known = false;
            LLM_TRY(data(value, turn.parts, is_known));
            if (!is_known && signature.empty()) {
                return invalid("a part without data", "contents.parts");
            }
            if (is_known && std::holds_alternative<ir::Opaque>(turn.parts.back().is)) {
                return {};  // the whole part, its signature included
            }
        }
        if (!signature.empty()) {
            turn.parts.push_back({read_signature(signature, arena_)});
        }
        return {};
    }

    // --- reasoning --------------------------------------------------------------------------

    // The thoughts at the end of the turn that a signature could still belong to.
    static ir::Reasoning *unsigned_thoughts(ir::Turn &turn) {
        if (turn.parts.empty()) {
            return nullptr;
        }
        ir::Reasoning *last = std::get_if<ir::Reasoning>(&turn.parts.back().is);
        bool is_open = last != nullptr && last->signature.empty() && !last->is_redacted;
        return is_open ? last : nullptr;
    }

    void thought(JsonText text, JsonText signature, ir::Turn &turn) {
        ir::Reasoning *open = unsigned_thoughts(turn);
        ir::Reasoning made;
        made.origin = DialectId::gemini;
        if (!signature.empty()) {
            made = read_signature(signature, arena_);
        }
        if (open == nullptr || made.is_redacted) {
            made.text = made.is_redacted ? JsonText() : text;
            turn.parts.push_back({made});
            return;
        }
        open->text = concat(open->text, text, arena_);
        open->signature = made.signature;
        open->origin = made.origin;
    }

    void sign_call(JsonText signature, ir::Turn &turn) {
        if (signature.empty()) {
            return;
        }
        ir::Reasoning made = read_signature(signature, arena_);
        ir::Reasoning *open = unsigned_thoughts(turn);
        if (open == nullptr || made.is_redacted || made.origin != DialectId::gemini) {
            turn.parts.push_back({made});
        } else {
            open->signature = made.signature;
        }
    }

    // --- calls ------------------------------------------------------------------------------

    Status function_call(Value value, ir::Turn &turn) {
        ir::ToolCall call;
        Value name = value.find("name");
        if (!name.is_string() || name.text().empty()) {
            return invalid("must be a string", "contents.parts.functionCall.name");
        }
        call.name = name.text();
        LLM_TRY(read_text(value.find("id"), "contents.parts.functionCall.id", call.id));
        Value args = value.find("args");
        if (!args.is_unset() && !args.is_object()) {
            return invalid("must be an object", "contents.parts.functionCall.args");
        }
        call.arguments = args.is_unset() ? std::string_view("{}") : args.raw().bytes;
        if (call.id.empty()) {
            call.id = history_call_id(request_.turns.size() - 1, calls_, call.name, arena_);
        }
        given_ids_.insert(call.id.bytes);
        ++calls_;
        if (is_after_user_) {
            // Calls of an earlier step that nobody answered: they will not be any more.
            pending_.clear();
            is_after_user_ = false;
        }
        if (pending_.size() == kMaxCalls) {
            return invalid("too many function calls in one step", "contents.parts.functionCall");
        }
        pending_.push_back({call.id, call.name});
        turn.parts.push_back({call});
        return {};
    }

    JsonText answered_call(JsonText id, JsonText name) {
        Pending *found = nullptr;
        for (Pending &call : pending_) {
            if (!id.empty() && call.id.bytes == id.bytes) {
                call.is_answered = true;
                return id;
            }
            bool is_named = call.name.bytes == name.bytes;
            if (!call.is_answered && is_named && found == nullptr) {
                found = &call;
            }
        }
        if (!id.empty() && given_ids_.contains(id.bytes)) {
            return id;
        }
        if (found == nullptr) {
            for (Pending &call : pending_) {
                if (!call.is_answered) {
                    found = &call;
                    break;
                }
            }
        }
        if (found == nullptr) {
            // Of no call: targets leave such a result out, by its id.
            return id.empty() ? history_call_id(request_.turns.size() - 1, results_++, name, arena_)
                              : id;
        }
        found->is_answered = true;
        return found->id;
    }

    Status function_response(Value value, ir::Turn &turn) {
        ir::ToolResult result;
        Value name = value.find("name");
        if (!value.is_object()) {
            return invalid("must be an object", "contents.parts.functionResponse");
        }
        LLM_TRY(read_text(name, "contents.parts.functionResponse.name", result.name));
        JsonText id;
        LLM_TRY(read_text(value.find("id"), "contents.parts.functionResponse.id", id));
        result.call_id = answered_call(id, result.name);
        Value response = value.find("response");
        if (!response.is_unset()) {
            result.parts.push_back({text_of(outcome(response, result.is_error))});
        }
        for (Value one : value.find("parts").items()) {
            bool is_known = false;
            LLM_TRY(data(one, result.parts, is_known));
        }
        turn.parts.push_back({std::move(result)});
        return {};
    }

    // What the tool said: the text itself where the object only wraps it, else the JSON.
    JsonText outcome(Value response, bool &is_error) {
        if (response.is_string()) {
            return response.text();
        }
        if (response.size() == 1 && response.is_object()) {
            json::Member only = *response.members().begin();
            is_error = only.key.bytes == "error" && !only.value.is_null();
            bool is_wrapper = only.key.bytes == "result" || only.key.bytes == "output" ||
                              only.key.bytes == "content";
            if (only.value.is_string() && (is_error || is_wrapper)) {
                return only.value.text();
            }
            if (is_error) {
                return json::escape(only.value.raw().bytes, arena_);
            }
        }
        return json::escape(response.raw().bytes, arena_);
    }

    // --- media ------------------------------------------------------------------------------

    Status data(Value value, std::vector<ir::Part> &parts, bool &is_known) {
        is_known = true;
        if (Value inline_data = member(value, "inlineData"); inline_data.is_object()) {
            return inline_part(inline_data, parts);
        }
        if (Value file = member(value, "fileData"); file.is_object()) {
            return file_part(file, parts);
        }
        for (std::string_view name : kServerData) {
            if (!member(value, name).is_unset()) {
                parts.push_back({ir::Opaque{DialectId::gemini, {name}, value.raw()}});
                return {};
            }
        }
        is_known = false;
        return {};
    }

    Status inline_part(Value value, std::vector<ir::Part> &parts) {
        constexpr std::string_view kName = "contents.parts.inlineData";
        JsonText mime;
        JsonText title;
        LLM_TRY(read_text(member(value, "mimeType"), "contents.parts.inlineData.mimeType", mime));
        LLM_TRY(read_text(member(value, "displayName"), kName, title));
        if (!value.find("data").is_string()) {
            return invalid("must be Base64", "contents.parts.inlineData.data");
        }
        std::optional<JsonText> base64 = standard_base64(value.find("data").text(), arena_);
        if (!base64 && !value.find("data").text().empty()) {
            return invalid("must be Base64", "contents.parts.inlineData.data");
        }
        JsonText bytes = base64.value_or(JsonText());
        ir::Source source;
        source.mime = mime;
        source.data = bytes;
        std::string_view type = mime.bytes;
        if (type.starts_with("image/")) {
            source.mime = trusted_mime(mime, bytes);
            parts.push_back({ir::Image{source, {}, {}}});
        } else if (type.starts_with("audio/")) {
            parts.push_back({ir::Audio{{audio_format(type.substr(6))}, bytes}});
        } else {
            ir::Document document;
            document.source = source;
            document.title = title;
            std::optional<std::string_view> plain;
            if (type.starts_with("text/")) {
                plain = decode_strict_base64(bytes.bytes, arena_);
            }
            if (plain) {
                document.source.kind = ir::SourceKind::text;
                document.source.data = json::escape(*plain, arena_);
            }
            parts.push_back({document});
        }
        return {};
    }

    static std::string_view audio_format(std::string_view subtype) {
        if (subtype == "mpeg" || subtype == "mpeg3" || subtype == "x-mpeg-3") {
            return "mp3";
        }
        return subtype == "x-wav" || subtype == "wave" || subtype == "vnd.wave" ? "wav" : subtype;
    }

    // An address that anybody can fetch is one in every dialect; Google's own storage and videos
    // by reference are names that only Google knows.
    static bool is_public(std::string_view uri) {
        return uri.starts_with("https://") &&
               !uri.starts_with("https://generativelanguage.googleapis.com/") &&
               !uri.starts_with("https://www.youtube.com/") &&
               !uri.starts_with("https://youtube.com/") && !uri.starts_with("https://youtu.be/");
    }

    Status file_part(Value value, std::vector<ir::Part> &parts) {
        ir::Source source;
        JsonText title;
        LLM_TRY(
            read_text(member(value, "mimeType"), "contents.parts.fileData.mimeType", source.mime));
        LLM_TRY(read_text(member(value, "displayName"), "contents.parts.fileData", title));
        Value uri = member(value, "fileUri");
        if (!uri.is_string() || uri.text().empty()) {
            return invalid("must be a string", "contents.parts.fileData.fileUri");
        }
        source.data = uri.text();
        std::string_view address = json::unescape(uri.text(), arena_);
        source.kind = is_public(address) ? ir::SourceKind::url : ir::SourceKind::file_id;
        bool is_image = source.mime.bytes.starts_with("image/");
        if (source.mime.empty()) {
            address = address.substr(0, address.find_first_of("?#"));
            for (std::string_view ending : {".png", ".jpg", ".jpeg", ".webp", ".gif", ".heic"}) {
                is_image = is_image || address.ends_with(ending);
            }
        }
        if (is_image) {
            parts.push_back({ir::Image{source, {}, {}}});
        } else {
            ir::Document document;
            document.source = source;
            document.title = title;
            parts.push_back({document});
        }
        return {};
    }

    Arena &arena_;
    ir::Request &request_;
    std::vector<Pending> pending_;  // calls of the latest step
    std::unordered_set<std::string_view> given_ids_;
    size_t calls_ = 0;           // calls in the turn at hand
    size_t results_ = 0;         // results of no call
    bool is_after_user_ = true;  // a user's turn came since the latest call
};

}  // namespace

Status read_contents(Value contents, Arena &arena, ir::Request &request) {
    ContentsReader reader(arena, request);
    if (contents.is_string() || (contents.is_object() && contents.size() > 0)) {
        return reader.content(contents);
    }
    if (!contents.is_array() || contents.size() == 0) {
        return invalid("contents is required", "contents");
    }
    if (contents.size() > kMaxMessages) {
        return invalid("too many contents", "contents");
    }
    request.turns.reserve(contents.size());
    for (Value content : contents.items()) {
        LLM_TRY(reader.content(content));
    }
    return {};
}

Status read_system(Value system, ir::Request &request) {
    constexpr std::string_view kName = "systemInstruction";
    if (system.is_unset()) {
        return {};
    }
    if (system.is_string()) {
        request.system.push_back(text_of(system.text()));
        return {};
    }
    if (!system.is_object()) {
        return invalid("must be an object with parts", kName);
    }
    auto add = [&](Value part) -> Status {
        Value text = part.is_string() ? part : part.find("text");
        if (!text.is_string()) {
            return invalid("must hold text parts only", kName);
        }
        request.system.push_back(text_of(text.text()));
        return {};
    };
    Value parts = system.find("parts");
    if (parts.absent() && system.find("text").is_string()) {
        return add(system);
    }
    if (parts.is_object()) {
        return add(parts);
    }
    if (!parts.is_array() && !parts.is_unset()) {
        return invalid("must be an array", "systemInstruction.parts");
    }
    for (Value part : parts.items()) {
        LLM_TRY(add(part));
    }
    return {};
}

}  // namespace llm::gemini
