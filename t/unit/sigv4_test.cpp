// Signatures for AWS: the requests below were signed by another implementation as well.
#include "translators/provider/sigv4.hpp"
#include "translators/provider/path.hpp"

#include <gtest/gtest.h>

#include "translators/provider/path.hpp"

namespace llm {
namespace {

constexpr std::string_view kKeyId = "AKIDEXAMPLE";
constexpr std::string_view kSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
constexpr int64_t kTime = 1768480560;  // 2026-01-15 12:36:00

const SigV4Header kContentType[] = {{"content-type", "application/json"}};

struct Call {
    std::string model;
    std::string operation = "converse";
    std::string region = "us-east-1";
    std::string body = "{}";
    std::string token;

    std::string path() const {
        std::string path = "/model/";
        encode_path_segment(model, path);
        return path + "/" + operation;
    }
    std::string host() const { return "bedrock-runtime." + region + ".amazonaws.com"; }
};

// Calls `use` with the request while everything that it points to lives.
template <class Use>
auto with_request(const Call &call, Use use) {
    std::string path = call.path();
    std::string host = call.host();
    std::string_view pieces[] = {std::string_view(call.body).substr(0, call.body.size() / 2),
                                 std::string_view(call.body).substr(call.body.size() / 2)};
    SigV4Request request;
    request.host = host;
    request.path = path;
    request.headers = kContentType;
    request.payload = pieces;
    request.key_id = kKeyId;
    request.secret = kSecret;
    request.session_token = call.token;
    request.region = call.region;
    request.time = kTime;
    return use(request);
}

std::string line(const std::vector<SigV4Header> &lines, std::string_view name) {
    for (const SigV4Header &header : lines) {
        if (header.name == name) {
            return header.value;
        }
    }
    return "none";
}

std::string authorization_of(const Call &call) {
    return with_request(call, [](const SigV4Request &request) {
        return line(sign_sigv4(request), "authorization");
    });
}

TEST(SigV4, AColonInTheModelIsEncodedOnceInThePathAndTwiceInWhatIsSigned) {
    Call call;
    call.model = "anthropic.claude-sonnet-4-20250514-v1:0";
    call.body = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Zo\xc3\xab\"}]}]}";
    EXPECT_EQ(call.path(), "/model/anthropic.claude-sonnet-4-20250514-v1%3A0/converse");
    std::string canonical = with_request(call, sigv4_canonical_request);
    EXPECT_EQ(canonical,
              "POST\n/model/anthropic.claude-sonnet-4-20250514-v1%253A0/converse\n\n"
              "content-type:application/json\n"
              "host:bedrock-runtime.us-east-1.amazonaws.com\n"
              "x-amz-date:20260115T123600Z\n\n"
              "content-type;host;x-amz-date\n"
              "f8dafb861580d5634be15b2936f9904dc44827e7814b63231e8cdeda75d80c9b");
    EXPECT_EQ(authorization_of(call),
              "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260115/us-east-1/bedrock/aws4_request, "
              "SignedHeaders=content-type;host;x-amz-date, "
              "Signature=90f976a2ef14f0061740d97a53e3014667d82eb544207585a2df4eb8acd53ee2");
}

TEST(SigV4, ASessionTokenIsSignedAndSent) {
    Call call;
    call.model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    call.operation = "invoke-with-response-stream";
    call.region = "us-west-2";
    call.body = R"({"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[]})";
    call.token = "SESSIONTOKENEXAMPLE";
    EXPECT_EQ(authorization_of(call),
              "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260115/us-west-2/bedrock/aws4_request, "
              "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
              "Signature=ee5ff5140f1b6845cdbdd7488fac82c31e9fa6b709fef8e4416b0199e0ee7aae");
    auto lines = with_request(call, sign_sigv4);
    EXPECT_EQ(line(lines, "x-amz-security-token"), "SESSIONTOKENEXAMPLE");
    EXPECT_EQ(line(lines, "x-amz-date"), "20260115T123600Z");
    EXPECT_EQ(line(lines, "x-amz-content-sha256"),
              "0baa54f32ef9158f72a3af73829874cdd1082b6c0a6dfec9a16bbe47ddf460d9");
}

TEST(SigV4, SlashesOfAnArnAreEncodedToo) {
    Call call;
    call.model =
        "arn:aws:bedrock:eu-west-1:000000000000:inference-profile/"
        "eu.anthropic.claude-haiku-4-5-20251001-v1:0";
    call.operation = "converse-stream";
    call.region = "eu-west-1";
    EXPECT_EQ(call.path(),
              "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A000000000000%3Ainference-profile%2F"
              "eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse-stream");
    EXPECT_NE(authorization_of(call).find(
                  "740778686496307f763604ee097f6eaf407a557e9bc35081f26e42080c33ecf3"),
              std::string::npos);
}

TEST(SigV4, AnEmptyBodyAndAPlainNameAreSignedAsTheyAre) {
    Call call;
    call.model = "amazon.nova-lite-v1";
    call.body = "";
    EXPECT_NE(authorization_of(call).find(
                  "1b47f7295db6cc4d32fe4986ddca65bc7010cb199e9952d3a3a3590484cf790a"),
              std::string::npos);
    EXPECT_EQ(line(with_request(call, sign_sigv4), "x-amz-security-token"), "none");
}

TEST(SigV4, AKeyThatWasKeptSignsTheSame) {
    Call call;
    call.model = "m";
    SigV4Key key = derive_sigv4_key(kSecret, {"20260115", "us-east-1", "bedrock"});
    with_request(call, [&](SigV4Request request) {
        std::string before = line(sign_sigv4(request), "authorization");
        request.key = &key;
        request.secret = {};
        EXPECT_EQ(line(sign_sigv4(request), "authorization"), before);
        request.region = "us-east-2";
        EXPECT_NE(line(sign_sigv4(request), "authorization"), before);
    });
}

TEST(SigV4, HeadersAreSortedTrimmedAndHostStandsOnce) {
    const SigV4Header headers[] = {
        {"X-B", "  a   b  "}, {"Host", "wrong"}, {"X-A", "1"}, {"x-a", "2"}};
    SigV4Request request;
    request.host = "h";
    request.path = "/a b/\xc3\xa9";
    request.query = "z=1&a=%20x&a=+&b";
    request.headers = headers;
    request.region = "r";
    EXPECT_EQ(sigv4_canonical_request(request),
              "POST\n/a%20b/%C3%A9\na=%20x&a=%2B&b=&z=1\n"
              "host:h\nx-a:1,2\nx-amz-date:19700101T000000Z\nx-b:a b\n\n"
              "host;x-a;x-amz-date;x-b\n"
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(SigV4, TimesAreWrittenInUtcWithLeapDays) {
    EXPECT_EQ(sigv4_time(kTime), "20260115T123600Z");
    EXPECT_EQ(sigv4_time(951782399), "20000228T235959Z");
    EXPECT_EQ(sigv4_time(951782400), "20000229T000000Z");
    EXPECT_EQ(sigv4_time(1709251199), "20240229T235959Z");
    EXPECT_EQ(sigv4_time(1735689599), "20241231T235959Z");
    EXPECT_EQ(sigv4_time(4107542400), "21000301T000000Z");
}

}  // namespace
}  // namespace llm
