// Exceptions in a stream of Bedrock. Their class is in the name, which error_map.def knows; what a
// ValidationException is about (a context that is too long, an unknown model) is in its words.
#include "translators/dialect/bedrock_exception.hpp"

namespace llm::bedrock {

ApiError read_exception(const wire::AwsMessage &message, json::Reader &reader, Arena &arena) {
    json::Value body;
    if (Result<json::Value> parsed =
            reader.parse(message.payload, {.allow_lone_surrogates = true})) {
        body = *parsed;
    }
    json::Value text = body.find("message");
    text = text.is_string() ? text : body.find("Message");
    std::string_view words = message.kind == wire::AwsMessageKind::error
                                 ? message.error_text
                                 : json::unescape(text.text(), arena);

    ApiError error;
    JsonText name = json::escape(message.name, arena);
    bool is_validation =
        message.name == "validationException" || message.name == "ValidationException";
    error.error_class =
        refine_class(is_validation ? ErrorClass::invalid_request : ErrorClass::upstream, words,
                     message.name, {});
    error.code = name;
    std::string_view shown = words.empty() ? message.name : words;
    shown = shown.empty() ? std::string_view("the provider broke off") : shown;
    error.message = json::escape(redact(shown, arena), arena);
    return error;
}

}  // namespace llm::bedrock
