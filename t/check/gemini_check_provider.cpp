// Gemini as a provider, for the checkers: how its API sends answers, what it refuses in a request,
// and what a request says.
#include <algorithm>
#include <memory>
#include <set>

#include "t/check/gemini_check.hpp"
#include "translators/json/writer.hpp"

namespace llm::check::gemini {
namespace {

using json::Value;
using Kind = Scenario::Block::Kind;
using Names = std::set<std::string>;

// --- answers ------------------------------------------------------------------------------------

// Pretty-spaced JSON is left to the recordings; the line ends are the API's own.
class Writer {
  public:
    explicit Writer(const Scenario &from) : from_(from), chance_(from.seed + 1) {}

    std::string stream() {
        for (size_t i = 0; i < from_.blocks.size(); i++) {
            const Scenario::Block &block = from_.blocks[i];
            bool is_last = i + 1 == from_.blocks.size();
            if (block.kind == Kind::call) {
                // Calls share a chunk at times, and the reason may come with the last one.
                open();
                part(block, {}, signature_for(i));
                while (i + 1 < from_.blocks.size() && from_.blocks[i + 1].kind == Kind::call &&
                       chance_.one_in(2)) {
                    i++;
                    part(from_.blocks[i], {}, {});
                }
                is_finished_ = i + 1 == from_.blocks.size() && chance_.one_in(2);
                close(is_finished_);
                continue;
            }
            if (block.text.empty()) {
                continue;  // its signature goes on the call
            }
            std::vector<std::string> all = pieces(chance_, block.text);
            for (size_t p = 0; p < all.size(); p++) {
                bool is_end = p + 1 == all.size();
                bool is_signed = is_end && !is_before_call(i);
                open();
                part(block, all[p], is_signed ? block.signature : std::string());
                is_finished_ = is_last && is_end && chance_.one_in(2);
                close(is_finished_);
            }
        }
        if (!is_finished_) {
            open();
            w_->object().key("text").plain("").end();
            close(true);
        }
        return std::string(out_.view());
    }

    std::string body() {
        begin();
        for (size_t i = 0; i < from_.blocks.size(); i++) {
            const Scenario::Block &block = from_.blocks[i];
            if (block.kind == Kind::call || !block.text.empty()) {
                ByteBuffer text;
                json::append_escaped(block.text, text);
                bool is_call = block.kind == Kind::call;
                std::string own = is_before_call(i) ? std::string() : block.signature;
                part(block, std::string(text.view()), is_call ? signature_for(i) : own);
            }
        }
        end(true);
        return std::string(out_.view());
    }

  private:
    bool is_before_call(size_t i) const {
        return i + 1 < from_.blocks.size() && from_.blocks[i + 1].kind == Kind::call;
    }

    std::string signature_for(size_t call) const {
        bool is_behind = call > 0 && from_.blocks[call - 1].kind == Kind::reasoning;
        return is_behind ? from_.blocks[call - 1].signature : std::string();
    }

    void open() {
        out_.append("data: ");
        begin();
    }

    void close(bool is_last) {
        end(is_last);
        out_.append("\r\n\r\n");
    }

    void begin() {
        writer_ = std::make_unique<json::Writer>(out_);
        w_ = writer_.get();
        w_->object().key("candidates").array().object();
        w_->key("content").object().key("parts").array();
    }

    void end(bool is_last) {
        w_->end().key("role").plain("model").end();
        if (is_last) {
            w_->key("finishReason");
            w_->plain(from_.finish == ir::Finish::length ? "MAX_TOKENS" : "STOP");
        }
        if (!chance_.one_in(4)) {
            w_->key("index").number(0);
        }
        w_->end().end();
        int64_t output = is_last ? from_.output : 1;
        int64_t reasoning = is_last ? from_.reasoning : 0;
        w_->key("usageMetadata").object().key("promptTokenCount").number(from_.input);
        w_->key("cachedContentTokenCount").number(from_.cache_read);
        w_->key("candidatesTokenCount").number(output - reasoning);
        w_->key("totalTokenCount").number(from_.input + output);
        w_->key("thoughtsTokenCount").number(reasoning).end();
        w_->key("modelVersion").plain("gemini-x").key("responseId").plain("answer-x").end();
    }

    // `text` is escaped.
    void part(const Scenario::Block &block, const std::string &text, const std::string &signature) {
        w_->object();
        if (block.kind == Kind::call) {
            w_->key("functionCall").object();
            if (!block.id.empty()) {
                w_->key("id").plain(block.id);
            }
            w_->key("name").plain(block.name).key("args").raw({block.text}).end();
        } else {
            w_->key("text").text({text});
            if (block.kind == Kind::reasoning) {
                w_->key("thought").boolean(true);
            }
        }
        if (!signature.empty()) {
            w_->key("thoughtSignature").plain(signature);
        }
        w_->end();
    }

    const Scenario &from_;
    Chance chance_;
    ByteBuffer out_;
    std::unique_ptr<json::Writer> writer_;
    json::Writer *w_ = nullptr;
    bool is_finished_ = false;
};

// --- the rules of the API -----------------------------------------------------------------------

class RequestRules {
  public:
    RequestRules(Value root, const ModelTraits &traits, Problems &problems)
        : root_(root), traits_(traits), problems_(problems) {}

    void check() {
        only(root_,
             {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig",
              "safetySettings", "cachedContent", "labels", "store"},
             "the request");
        only(root_["generationConfig"],
             {"temperature", "topP", "topK", "maxOutputTokens", "candidateCount", "stopSequences",
              "seed", "presencePenalty", "frequencyPenalty", "responseMimeType", "responseSchema",
              "responseJsonSchema", "responseLogprobs", "logprobs", "thinkingConfig",
              "responseModalities", "speechConfig", "imageConfig", "mediaResolution"},
             "generationConfig");
        config(root_["generationConfig"]);
        only(root_["systemInstruction"], {"parts"}, "systemInstruction");
        for (Value part : root_["systemInstruction"]["parts"].items()) {
            if (part["text"].text().empty()) {
                refuse("an empty text in systemInstruction");
            }
        }
        tools();
        contents();
    }

  private:
    void refuse(const std::string &why) {
        if (problems_.size() < 20) {
            problems_.push_back(why);
        }
    }

    void only(Value object, const Names &known, const std::string &where) {
        for (auto [key, value] : object.members()) {
            if (known.count(plain(key)) == 0) {
                refuse("unknown name " + plain(key) + " in " + where);
            }
        }
        if (!json::duplicate_key(object).empty()) {
            refuse("a member stands twice in " + where);
        }
    }

    void config(Value config) {
        double temperature = config["temperature"].as_double().value_or(1);
        if (temperature < 0 || temperature > 2 || config["stopSequences"].size() > 5 ||
            config["candidateCount"].as_int().value_or(1) > 8) {
            refuse("a number of generationConfig is out of range");
        }
        bool has_schema = !config["responseSchema"].absent();
        bool has_json_schema = !config["responseJsonSchema"].absent();
        if ((has_schema || has_json_schema) && config["responseMimeType"].absent()) {
            refuse("a schema without responseMimeType");
        }
        if (has_schema && has_json_schema) {
            refuse("two schemas for the answer");
        }
        if (has_schema) {
            schema(config["responseSchema"]);
        }
        Value thinking = config["thinkingConfig"];
        only(thinking, {"includeThoughts", "thinkingBudget", "thinkingLevel"}, "thinkingConfig");
        bool has_level = !thinking["thinkingLevel"].absent();
        bool has_budget = !thinking["thinkingBudget"].absent();
        if (thinking.is_object() && !traits_.thinking_level && traits_.thinking_max == 0) {
            refuse("thinkingConfig for a model that does not think");
        }
        if ((has_level && !traits_.thinking_level) || (has_budget && traits_.thinking_level)) {
            refuse("a level where a budget is due, or the other way round");
        }
        int64_t budget = thinking["thinkingBudget"].as_int().value_or(-1);
        if (has_budget && (budget > traits_.thinking_max || budget < -1 ||
                           (budget == 0 && traits_.thinking_min < 0))) {
            refuse("thinkingBudget out of range");
        }
    }

    // What `parameters` and `responseSchema` take.
    void schema(Value schema) {
        only(schema, {"type",          "format",        "title",
                      "description",   "nullable",      "enum",
                      "items",         "properties",    "required",
                      "anyOf",         "default",       "minimum",
                      "maximum",       "minItems",      "maxItems",
                      "minLength",     "maxLength",     "pattern",
                      "minProperties", "maxProperties", "propertyOrdering"},
             "a schema");
        if (schema["type"].equals("array") && schema["items"].size() == 0) {
            refuse("an array without items");
        }
        if (!schema["properties"].absent() && schema["properties"].size() == 0) {
            refuse("an object with empty properties");
        }
        for (auto [name, property] : schema["properties"].members()) {
            this->schema(property);
        }
        for (Value branch : schema["anyOf"].items()) {
            this->schema(branch);
        }
        if (Value items = schema["items"]; items.is_object()) {
            this->schema(items);
        }
    }

    static bool is_name(const std::string &name) {
        bool is_good = !name.empty() && name.size() <= 64 &&
                       (isalpha(static_cast<unsigned char>(name[0])) != 0 || name[0] == '_');
        for (char c : name) {
            is_good = is_good && (isalnum(static_cast<unsigned char>(c)) != 0 ||
                                  std::string_view("_.:-").find(c) != std::string_view::npos);
        }
        return is_good;
    }

    void tools() {
        size_t lists = 0;
        for (Value tool : root_["tools"].items()) {
            Value functions = tool["functionDeclarations"];
            lists += functions.absent() ? 0 : 1;
            for (Value function : functions.items()) {
                only(function, {"name", "description", "parameters", "parametersJsonSchema"},
                     "a function");
                std::string name = plain(function["name"].text());
                if (!is_name(name) || !names_.insert(name).second) {
                    refuse("the name of a function: " + shown(name));
                }
                Value parameters = function["parameters"];
                bool is_object = parameters["type"].equals("object");
                if (!parameters.absent() && (!is_object || parameters["properties"].absent())) {
                    refuse("parameters without properties");
                }
                schema(parameters);
            }
        }
        if (lists > 1) {
            refuse("two lists of functions");
        }
        if (!root_["tools"].absent() && root_["tools"].size() == 0) {
            refuse("an empty list of tools");
        }
        Value calling = root_["toolConfig"]["functionCallingConfig"];
        if (calling.is_object() && names_.empty()) {
            refuse("toolConfig without functions");
        }
        for (Value name : calling["allowedFunctionNames"].items()) {
            if (names_.count(plain(name.text())) == 0 || !calling["mode"].equals("ANY")) {
                refuse("allowedFunctionNames names no function, or the mode is not ANY");
            }
        }
    }

    void contents() {
        Value contents = root_["contents"];
        if (contents.size() == 0) {
            refuse("contents is required");
        }
        std::string before = "model";
        std::vector<std::string> open_calls;
        for (Value content : contents.items()) {
            only(content, {"role", "parts"}, "a content");
            std::string role = plain(content["role"].text());
            if ((role != "user" && role != "model") || role == before) {
                refuse("roles do not alternate, beginning with the user");
            }
            before = role;
            if (content["parts"].size() == 0) {
                refuse("a content without parts");
            }
            std::vector<std::string> calls;
            size_t results = 0;
            bool had_other = false;
            for (Value part : content["parts"].items()) {
                one_part(part);
                Value call = part["functionCall"];
                Value result = part["functionResponse"];
                if (call.is_object()) {
                    calls.push_back(plain(call["id"].text()));
                } else if (result.is_object()) {
                    bool is_due =
                        results < open_calls.size() &&
                        (result["id"].absent() || result["id"].equals(open_calls[results]));
                    if (!is_due || had_other) {
                        refuse("a result that is not due here");
                    }
                    results++;
                } else {
                    had_other = true;
                }
            }
            if (results != open_calls.size()) {
                refuse("the number of function response parts is not that of the calls");
            }
            if (!calls.empty() && role != "model") {
                refuse("a call of the user's");
            }
            open_calls = calls;
        }
        if (!open_calls.empty()) {
            refuse("the last calls have no results");
        }
        signatures(contents);
    }

    void one_part(Value part) {
        size_t data = 0;
        for (auto [key, value] : part.members()) {
            data += plain(key) == "thoughtSignature" ? 0 : 1;
        }
        only(part,
             {"text", "inlineData", "fileData", "functionCall", "functionResponse",
              "thoughtSignature"},
             "a part");
        if (data != 1) {
            refuse("a part that is not one thing");
        }
        if (part["text"].is_string() && part["text"].text().empty() &&
            part["thoughtSignature"].absent()) {
            refuse("an empty text part");
        }
        for (std::string_view name : {"inlineData", "fileData"}) {
            if (part[name].is_object() && part[name]["mimeType"].text().empty()) {
                refuse("data without a mimeType");
            }
        }
        Value call = part["functionCall"];
        only(call, {"name", "args", "id"}, "functionCall");
        if (call.is_object() &&
            (!is_name(plain(call["name"].text())) || !call["args"].is_object())) {
            refuse("a functionCall that is malformed");
        }
        Value result = part["functionResponse"];
        only(result, {"name", "response", "id", "parts"}, "functionResponse");
        if (result.is_object() &&
            (!is_name(plain(result["name"].text())) || !result["response"].is_object())) {
            refuse("a functionResponse that is malformed");
        }
    }

    // The first call of each step since the user last spoke.
    void signatures(Value contents) {
        if (!traits_.thinking_level) {
            return;
        }
        bool is_missing = false;
        for (Value content : contents.items()) {
            bool has_call = false;
            for (Value part : content["parts"].items()) {
                if (part["functionCall"].is_object()) {
                    is_missing |= !has_call && part["thoughtSignature"].text().empty();
                    has_call = true;
                } else if (content["role"].equals("user") && part["functionResponse"].absent()) {
                    is_missing = false;
                }
            }
        }
        if (is_missing) {
            refuse("Function call is missing a thought_signature");
        }
    }

    Value root_;
    const ModelTraits &traits_;
    Problems &problems_;
    Names names_;
};

// --- what a request says ------------------------------------------------------------------------

Value either(Value object, std::string_view camel, std::string_view snake) {
    Value value = object[camel];
    return value.absent() ? object[snake] : value;
}

void read_media(Value part, Said &said) {
    for (Value data :
         {either(part, "inlineData", "inline_data"), either(part, "fileData", "file_data")}) {
        if (!data.is_object()) {
            continue;
        }
        if (!plain(either(data, "mimeType", "mime_type").text()).starts_with("image/")) {
            said.documents++;
        } else if (data["data"].is_string()) {
            said.images.push_back(plain(data["data"].text()));
        } else {
            said.images.push_back(plain(either(data, "fileUri", "file_uri").text()));
        }
    }
}

// The text of a tool's result, where it is one; else the JSON.
std::string result_text(Value response) {
    for (std::string_view name : {"result", "output", "content", "error"}) {
        if (response.size() == 1 && response[name].is_string()) {
            return plain(response[name].text());
        }
    }
    return std::string(response.raw().bytes);
}

}  // namespace

void fit(Scenario &scenario, Chance &chance) {
    std::vector<Scenario::Block> kept;
    bool has_ids = !chance.one_in(3);
    for (size_t i = 0; i < scenario.blocks.size(); i++) {
        Scenario::Block &block = scenario.blocks[i];
        if (block.kind == Kind::redacted) {
            continue;
        }
        if (block.kind == Kind::call && !has_ids) {
            block.id.clear();
        }
        kept.push_back(block);
    }
    // A signature without text is a call's.
    if (!kept.empty() && kept[0].kind == Kind::reasoning && kept[0].text.empty() &&
        (kept.size() == 1 || kept[1].kind != Kind::call)) {
        kept.erase(kept.begin());
    }
    scenario.blocks = kept;
    if (scenario.finish == ir::Finish::stop_sequence) {
        scenario.finish = ir::Finish::stop;
        scenario.stop_sequence.clear();
    }
    scenario.cache_write = 0;
}

std::string stream_of(const Scenario &scenario) {
    return Writer(scenario).stream();
}

std::string body_of(const Scenario &scenario) {
    return Writer(scenario).body();
}

void check_rules(Value root, const ModelTraits &traits, Problems &problems) {
    RequestRules(root, traits, problems).check();
}

Said read_request(Value root) {
    Said said;
    Value system = either(root, "systemInstruction", "system_instruction");
    for (Value part : system["parts"].items()) {
        add_text(said.system, part["text"]);
    }
    for (Value content : root["contents"].items()) {
        bool is_model = content["role"].equals("model");
        for (Value part : content["parts"].items()) {
            if (!part["thought"].is_true()) {
                add_text(is_model ? said.assistant : said.user, part["text"]);
            }
            read_media(part, said);
            if (Value call = either(part, "functionCall", "function_call"); call.is_object()) {
                said.calls.push_back({plain(call["id"].text()), plain(call["name"].text()),
                                      std::string(call["args"].raw().bytes)});
            }
            Value result = either(part, "functionResponse", "function_response");
            if (result.is_object()) {
                said.results.push_back(
                    {plain(result["id"].text()), result_text(result["response"])});
                for (Value nested : result["parts"].items()) {
                    read_media(nested, said);
                }
            }
        }
    }
    return said;
}

}  // namespace llm::check::gemini
