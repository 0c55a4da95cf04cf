// Errors of providers: the class that a body belongs to, the message that the client sees.
// One test for each shape of error body and for each source of the class: status, words, names,
// numbers in the body. Credentials must never get through, however a provider echoes them.
#include <gtest/gtest.h>

#include <string>

#include "translators/core/errors.hpp"

namespace llm {
namespace {

struct Read {
    ErrorClass error_class;
    uint16_t status;
    std::string message;
    std::string code;
    std::string param;
};

Read read(uint16_t status, std::string_view body) {
    Arena arena;
    json::Reader reader;
    auto root = reader.parse_unpadded(body);
    ApiError error = read_error(status, root ? *root : json::Value(), body, arena);
    auto plain = [&](JsonText text) { return std::string(json::unescape(text, arena)); };
    return {error.error_class, error.status, plain(error.message), plain(error.code),
            plain(error.param)};
}

ErrorClass class_of(uint16_t status, std::string_view body) {
    return read(status, body).error_class;
}

std::string redacted(std::string_view message) {
    Arena arena;
    return std::string(redact(message, arena));
}

TEST(Errors, SpellingsStandInTheOrderOfTheClasses) {
    for (int i = 0; i <= static_cast<int>(ErrorClass::stream_truncated); ++i) {
        EXPECT_EQ(spelling(static_cast<ErrorClass>(i)).error_class, static_cast<ErrorClass>(i));
    }
    const ErrorSpelling &billing = spelling(ErrorClass::billing);
    EXPECT_EQ(billing.name, "billing");
    EXPECT_EQ(billing.openai_status, 429);
    EXPECT_EQ(billing.openai_type, "insufficient_quota");
    EXPECT_EQ(billing.anthropic_status, 402);
    EXPECT_EQ(billing.anthropic_type, "billing_error");
    EXPECT_TRUE(billing.elsewhere);
    EXPECT_EQ(spelling(ErrorClass::overloaded).anthropic_status, 529);
    EXPECT_EQ(spelling(ErrorClass::invalid_request).openai_code, "");
    EXPECT_FALSE(spelling(ErrorClass::context_length).elsewhere);
    EXPECT_TRUE(spelling(ErrorClass::stream_truncated).elsewhere);
}

TEST(Errors, ClassByStatus) {
    EXPECT_EQ(class_of_status(400), ErrorClass::invalid_request);
    EXPECT_EQ(class_of_status(408), ErrorClass::timeout);
    EXPECT_EQ(class_of_status(418), ErrorClass::invalid_request);
    EXPECT_EQ(class_of_status(424), ErrorClass::upstream);
    EXPECT_EQ(class_of_status(498), ErrorClass::authentication);
    EXPECT_EQ(class_of_status(460), ErrorClass::upstream);
    EXPECT_EQ(class_of_status(499), ErrorClass::upstream);
    EXPECT_EQ(class_of_status(503), ErrorClass::overloaded);
    EXPECT_EQ(class_of_status(520), ErrorClass::upstream);
    EXPECT_EQ(class_of_status(524), ErrorClass::timeout);
    EXPECT_EQ(class_of_status(529), ErrorClass::overloaded);
    EXPECT_EQ(class_of_status(599), ErrorClass::timeout);
    EXPECT_EQ(class_of_status(600), ErrorClass::upstream);
    EXPECT_EQ(class_of_status(999), ErrorClass::upstream);
    EXPECT_EQ(class_of_status(302), ErrorClass::upstream);
}

// What the provider gave up is not what the client gave up: another one may do it.
TEST(Errors, CancelledIsTheProvidersFailure) {
    EXPECT_EQ(class_of(499, R"({"error":{"code":499,"message":"x","status":"CANCELLED"}})"),
              ErrorClass::upstream);
    EXPECT_EQ(class_of(0, R"({"error":{"code":499,"message":"x","status":"CANCELLED"}})"),
              ErrorClass::upstream);
    EXPECT_EQ(class_of(0, R"({"error":{"message":"x","code":"cancelled"}})"), ErrorClass::upstream);
    for (int i = 0; i <= static_cast<int>(ErrorClass::stream_truncated); ++i) {
        const ErrorSpelling &how = spelling(static_cast<ErrorClass>(i));
        EXPECT_FALSE(how.openai_type.empty()) << how.name;
        EXPECT_FALSE(how.anthropic_type.empty()) << how.name;
        EXPECT_FALSE(how.gemini_name.empty()) << how.name;
    }
}

TEST(Errors, OpenAiShape) {
    Read error = read(400, R"({"error":{"message":"Bad 'n'.","type":"invalid_request_error",)"
                           R"("param":"n","code":"integer_below_min_value"}})");
    EXPECT_EQ(error.error_class, ErrorClass::invalid_request);
    EXPECT_EQ(error.message, "Bad 'n'.");
    EXPECT_EQ(error.param, "n");
    EXPECT_EQ(error.code, "integer_below_min_value");
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(class_of(429, R"({"error":{"message":"quota","code":"insufficient_quota"}})"),
              ErrorClass::billing);
    EXPECT_EQ(
        class_of(429, R"({"error":{"message":"too many tokens per minute","type":"tokens"}})"),
        ErrorClass::rate_limit);
    EXPECT_EQ(class_of(404, R"({"error":{"message":"no","code":"model_not_found"}})"),
              ErrorClass::not_found);
    EXPECT_EQ(class_of(401, R"({"error":{"message":"Unauthorized","type":"api_error"}})"),
              ErrorClass::authentication);
}

TEST(Errors, AnthropicShape) {
    Read error = read(529, R"({"type":"error","error":{"type":"overloaded_error",)"
                           R"("message":"Overloaded"},"request_id":"req_1"})");
    EXPECT_EQ(error.error_class, ErrorClass::overloaded);
    EXPECT_EQ(error.message, "Overloaded");
    EXPECT_EQ(class_of(400, R"({"type":"error","error":{"type":"invalid_request_error",)"
                            R"("message":"prompt is too long: 210000 tokens > 200000 maximum"}})"),
              ErrorClass::context_length);
    EXPECT_EQ(class_of(400, R"({"type":"error","error":{"type":"invalid_request_error",)"
                            R"("message":"Your credit balance is too low"}})"),
              ErrorClass::billing);
    EXPECT_EQ(
        class_of(500, R"({"type":"error","error":{"type":"overloaded_error","message":"x"}})"),
        ErrorClass::overloaded);
}

TEST(Errors, Gotcha87_InStreamErrorsAreClassedByTheirType) {
    EXPECT_EQ(class_of(0, R"({"type":"error","error":{"type":"overloaded_error","message":"x"}})"),
              ErrorClass::overloaded);
    EXPECT_EQ(class_of(0, R"({"type":"error","error":{"type":"rate_limit_error","message":"x"}})"),
              ErrorClass::rate_limit);
    EXPECT_EQ(class_of(0, R"({"type":"error","error":{"type":"api_error","message":"x"}})"),
              ErrorClass::upstream);
    EXPECT_EQ(class_of(200, R"({"error":{"message":"x","type":"server_error"}})"),
              ErrorClass::upstream);
    EXPECT_EQ(class_of(0, R"({"error":{"message":"x","type":"invalid_request_error",)"
                          R"("code":"invalid_api_key"}})"),
              ErrorClass::authentication);
    EXPECT_EQ(class_of(0, R"({"error":{"message":"maximum context length is 8192"}})"),
              ErrorClass::context_length);
    EXPECT_EQ(class_of(0, R"({"error":"something broke"})"), ErrorClass::upstream);
    EXPECT_EQ(class_of(0, R"({"response":{"error":{"code":"rate_limit_exceeded","message":"x"}}})"),
              ErrorClass::rate_limit);
}

TEST(Errors, NumbersInTheBodyStandForTheStatus) {
    Read error = read(0, R"({"error":{"code":400,"message":"Token limit reached"}})");
    EXPECT_EQ(error.error_class, ErrorClass::invalid_request);
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.code, "");
    EXPECT_EQ(class_of(0, R"({"error":{"code":"429","message":"x"}})"), ErrorClass::rate_limit);
    Read groq = read(0, R"({"error":{"message":"no call","type":"invalid_request_error",)"
                        R"("code":"tool_use_failed","failed_generation":"","status_code":400}})");
    EXPECT_EQ(groq.error_class, ErrorClass::invalid_request);
    EXPECT_EQ(groq.code, "tool_use_failed");
    EXPECT_EQ(class_of(0, R"({"error":{"code":503,"status":"UNAVAILABLE","message":"x"}})"),
              ErrorClass::overloaded);
    EXPECT_EQ(class_of(0, R"({"error":{"code":7,"message":"x"}})"), ErrorClass::upstream);
    // The status line is not overruled.
    EXPECT_EQ(class_of(429, R"({"error":{"code":500,"message":"x"}})"), ErrorClass::rate_limit);
}

TEST(Errors, ARouterWrapsTheErrorOfTheProviderBehindIt) {
    Read error =
        read(400, R"({"error":{"message":"Provider returned error","code":400,"metadata":{)"
                  R"("provider_name":"P","raw":"{\"type\":\"error\",\"error\":{\"type\":)"
                  R"(\"invalid_request_error\",\"message\":\"prompt is too long\"}}"}}})");
    EXPECT_EQ(error.error_class, ErrorClass::context_length);
    EXPECT_EQ(error.message, "prompt is too long");
    Read object = read(400, R"({"error":{"message":"Provider returned error","metadata":{"raw":)"
                            R"({"error":{"message":"no","code":"model_not_found"}}}}})");
    EXPECT_EQ(object.error_class, ErrorClass::not_found);
    EXPECT_EQ(object.code, "model_not_found");
    Read text = read(502, R"({"error":{"message":"Provider returned error","code":502,)"
                          R"("metadata":{"raw":"upstream died"}}})");
    EXPECT_EQ(text.message, "upstream died");
}

TEST(Errors, Gotcha99_BadKeysWithStatus400) {
    EXPECT_EQ(class_of(400, R"({"code":"invalid-argument","error":"Incorrect API key provided"})"),
              ErrorClass::authentication);
    EXPECT_EQ(class_of(400, R"([{"error":{"code":400,"message":"API key not valid.",)"
                            R"("status":"INVALID_ARGUMENT"}}])"),
              ErrorClass::authentication);
    EXPECT_EQ(class_of(400, R"({"error":{"code":400,"message":"x","status":"INVALID_ARGUMENT",)"
                            R"("details":[{"reason":"API_KEY_INVALID"}]}})"),
              ErrorClass::authentication);
}

TEST(Errors, Gotcha112_ClassByTypeWhereTheMessageSaysLittle) {
    EXPECT_EQ(class_of(400, R"({"error":{"message":"The messages are too long.",)"
                            R"("type":"too_many_prompt_tokens","code":400}})"),
              ErrorClass::context_length);
    EXPECT_EQ(class_of(400, R"({"error_type":"TOO_MANY_TOKENS","id":"1","message":"limit"})"),
              ErrorClass::context_length);
    EXPECT_EQ(class_of(400, R"({"message":"The provided model identifier is invalid."})"),
              ErrorClass::not_found);
    EXPECT_EQ(class_of(400, R"({"error":{"code":"content_filter","message":"x",)"
                            R"("innererror":{"code":"ResponsibleAIPolicyViolation"}}})"),
              ErrorClass::content_policy);
}

// A stream of Responses, and an answer that was kept, tell it by the code alone.
TEST(Errors, CodesOfResponses) {
    auto failed = [](std::string_view code, std::string_view message) {
        return class_of(0, std::string(R"({"type":"error","code":")")
                               .append(code)
                               .append(R"(","message":")")
                               .append(message)
                               .append(R"("})"));
    };
    EXPECT_EQ(failed("invalid_prompt", "No."), ErrorClass::invalid_request);
    EXPECT_EQ(failed("invalid_prompt",
                     "Invalid prompt: your prompt was flagged as potentially violating our usage "
                     "policy."),
              ErrorClass::content_policy);
    EXPECT_EQ(failed("image_parse_error", "No."), ErrorClass::invalid_request);
    EXPECT_EQ(failed("image_content_policy_violation", "No."), ErrorClass::content_policy);
    EXPECT_EQ(failed("vector_store_timeout", "No."), ErrorClass::timeout);
    EXPECT_EQ(failed("server_error", "No."), ErrorClass::upstream);
}

TEST(Errors, OtherShapes) {
    EXPECT_EQ(read(500, R"({"error":"model runner died"})").message, "model runner died");
    EXPECT_EQ(read(401, R"({"detail":"Unauthorized"})").message, "Unauthorized");
    Read fastapi = read(422, R"({"detail":[{"type":"extra_forbidden","loc":["body","user"],)"
                             R"("msg":"Extra inputs are not permitted","input":1}]})");
    EXPECT_EQ(fastapi.message, "Extra inputs are not permitted");
    EXPECT_EQ(fastapi.param, "user");
    Read mistral =
        read(422, R"({"object":"error","message":{"detail":[{"msg":"bad","loc":["a"]}]},)"
                  R"("type":"invalid_request_error"})");
    EXPECT_EQ(mistral.message, "bad");
    EXPECT_EQ(read(400, R"({"object":"error","message":"too big","code":400})").message, "too big");
    EXPECT_EQ(read(403, R"({"Message":"Access denied"})").message, "Access denied");
    EXPECT_EQ(
        class_of(403, R"({"message":"The security token included in the request is expired"})"),
        ErrorClass::authentication);
    EXPECT_EQ(read(429, R"({"error":{"code":"RateLimitReached","message":"slow"}})").code,
              "RateLimitReached");
}

TEST(Errors, BodiesThatAreNoJson) {
    EXPECT_EQ(read(502, "<html>\r\n<h1>Bad\tGateway</h1>\n</html>\n").message,
              "upstream returned 502: <html> <h1>Bad Gateway</h1> </html>");
    EXPECT_EQ(class_of(502, "<html>"), ErrorClass::upstream);
    EXPECT_EQ(read(503, "").message, "upstream returned 503 without a body");
    EXPECT_EQ(read(500, "{\"x\":1}").message, "upstream returned 500: {\"x\":1}");
    EXPECT_EQ(read(0, "").message, "upstream returned an error without a body");
    EXPECT_EQ(read(500, "null").message, "upstream returned 500: null");
    EXPECT_EQ(read(500, "[]").error_class, ErrorClass::upstream);
    EXPECT_EQ(read(500, std::string(5000, 'x')).message.size(), 23u + 200u);
}

TEST(Errors, CredentialsAreMasked) {
    EXPECT_EQ(redacted("Incorrect API key provided: sk-proj-ab12****wxyz. You can find yours"),
              "Incorrect API key provided: ***. You can find yours");
    EXPECT_EQ(redacted("provided: sk-ab\xe2\x80\xa6wxyz."), "provided: sk-***.");
    EXPECT_EQ(redacted("Incorrect API key provided: ab***yz."), "Incorrect API key provided: ***.");
    EXPECT_EQ(redacted("got Bearer eyJhbGciOi.JIUzI1/NiJ9== here"), "got Bearer *** here");
    EXPECT_EQ(redacted("GET /v1?key=AbC123&x=1"), "GET /v1?key=***&x=1");
    EXPECT_EQ(redacted("\"gsk_abcdef\" and xai-0123456789"), "\"gsk_***\" and xai-***");
    EXPECT_EQ(redacted("no task-list or bearer token in a risk-averse disk"),
              "no task-list or bearer token in a risk-averse disk");
    EXPECT_EQ(read(401, R"({"error":{"message":"bad key: \"sk-abcdef\""}})").message,
              "bad key: \"sk-***\"");
    EXPECT_EQ(read(401, "denied for sk-ant-api03-abcdef").message,
              "upstream returned 401: denied for sk-***");
}

TEST(Errors, MessagesAreCutAtFourKibibytesBetweenCharacters) {
    std::string long_message;
    for (int i = 0; i < 2000; ++i) {
        long_message += "x\xe2\x82\xac";
    }
    std::string cut = redacted(long_message);
    EXPECT_LE(cut.size(), 4096u);
    EXPECT_GE(cut.size(), 4093u);
    EXPECT_TRUE(cut.back() == 'x' || cut.ends_with("\xe2\x82\xac"));
    std::string keys;
    for (int i = 0; i < 1000; ++i) {
        keys += "key=ab ";
    }
    EXPECT_LE(redacted(keys).size(), 4096u);
}

TEST(Errors, MessagesAreEscapedJson) {
    Arena arena;
    json::Reader reader;
    std::string body = R"({"error":{"message":"line\none \"two\" \u00e9"}})";
    auto root = reader.parse_unpadded(body);
    ApiError error = read_error(400, *root, body, arena);
    EXPECT_EQ(error.message.bytes, "line\\none \\\"two\\\" \xc3\xa9");
    EXPECT_TRUE(reader.parse_unpadded("\"" + std::string(error.message.bytes) + "\""));
}

}  // namespace
}  // namespace llm
