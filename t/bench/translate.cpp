// What the translators cost without nginx around them: for every pair of dialects the processor
// time of one streamed event of text, and of one request of 1 MB. Linked with the objects of the
// module, so that what is measured is what runs.
//
// Usage: translate [--quick] [PROVIDER [CLIENT]]: only these pairs. A figure is the best of
// several rounds: whatever else the machine does makes a round longer, never shorter. "!" stands
// behind what is over the target. Exit status: 0 measured (whatever the figures), 1 a stream or a
// request did not come through.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "t/check/dialect_check.hpp"
#include "t/check/pump.hpp"
#include "t/check/scenario.hpp"
#include "translators/provider/model_traits.hpp"

namespace {

using namespace llm;
using namespace llm::check;
using Kind = Scenario::Block::Kind;

constexpr double kEventTarget = 1.0;    // microseconds
constexpr double kRequestTarget = 5.0;  // milliseconds
constexpr size_t kRequestBytes = 1'000'000;

struct Options {
    int rounds = 15;
    double round_seconds = 0.02;
    std::string_view provider, client;  // empty: all
};

double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

// Seconds of one call of `work`.
template <class Work>
double best_time(const Options &options, Work work) {
    double best = 0;
    for (int round = 0; round < options.rounds; round++) {
        int calls = 0;
        double begin = cpu_seconds();
        double spent = 0;
        do {
            work();
            calls++;
            spent = cpu_seconds() - begin;
        } while (spent < options.round_seconds);
        double once = spent / calls;
        best = round == 0 ? once : std::min(best, once);
    }
    return best;
}

// Prose as models write it: a line now and then, a quotation, a word that is not ASCII.
std::string prose(size_t bytes) {
    constexpr std::string_view kSentence =
        "The harbour was calm when the first boats came in, and nobody spoke for a while. "
        "\"Is that all?\" she asked. The caf\xc3\xa9 on the quay had been open since six.\n";
    std::string text;
    while (text.size() < bytes) {
        text += kSentence;
    }
    text.resize(bytes);
    return text;
}

// --- streams ----------------------------------------------------------------------------------

struct Stream {
    std::string bytes;  // padded
    std::vector<size_t> ends;
};

Stream text_stream(DialectId provider) {
    Scenario made;
    made.dialect = provider;
    made.seed = 2;
    made.input = 100;
    made.output = 4000;
    made.blocks.push_back({Kind::text, prose(12000), {}, {}, {}});
    Chance chance(1);
    check_of(provider).fit(made, chance);
    Stream stream;
    stream.bytes = written_stream(made);
    stream.ends = frame_ends(provider, stream.bytes);
    stream.bytes.append(json::kPadding, ' ');
    return stream;
}

class Encoding final : public ir::EventSink {
  public:
    Encoding(Encoder &encoder, ByteBuffer &out) : encoder_(encoder), out_(out) {}
    void on_event(const ir::StreamEvent &event) override { encoder_.event(event, out_); }

  private:
    Encoder &encoder_;
    ByteBuffer &out_;
};

// One event in a read, as it is while a model writes. Microseconds of an event; 0: nothing came.
double time_of_event(const Options &options, const Stream &stream, DialectId provider,
                     DialectId client) {
    ByteBuffer out;
    size_t written = 0;
    double seconds = best_time(options, [&] {
        FixedIds ids;
        std::unique_ptr<Encoder> encoder = dialect(client).make_encoder(full_view(ids));
        std::unique_ptr<Decoder> decoder = dialect(provider).make_decoder();
        Encoding sink(*encoder, out);
        size_t from = 0;
        for (size_t end : stream.ends) {
            out.clear();
            decoder->feed({stream.bytes.data() + from, end - from}, sink);
            written += out.size();
            from = end;
        }
        decoder->finish(sink);
    });
    return written == 0 ? 0 : seconds * 1e6 / double(stream.ends.size());
}

// --- requests ---------------------------------------------------------------------------------

// A session of an agent: the user asks, the model calls two tools, reads what they say, answers.
Ask session(size_t steps) {
    Ask ask;
    ask.system = prose(2000);
    ask.tools = {"look", "files.read"};
    ask.max_tokens = 4000;
    ask.stream = true;
    for (size_t i = 0; i < steps; i++) {
        std::string number = std::to_string(i);
        Ask::Turn user{Ask::Turn::Kind::user, prose(300), {}, {}, {}, i % 2 == 0};
        Ask::Turn calls{Ask::Turn::Kind::assistant, "", {}, {}, {}, false};
        Ask::Turn results{Ask::Turn::Kind::user, "", {}, {}, {}, false};
        for (const char *name : {"look", "files.read"}) {
            std::string id = "call_" + std::string(1, name[0]) + number;
            calls.calls.push_back({id, name,
                                   "{\"path\":\"src/main_" + number +
                                       ".c\",\"lines\":[1,200],\"why\":\"to see \\\"it\\\"\"}"});
            results.results.push_back({id, name, prose(900)});
        }
        Ask::Turn answer{Ask::Turn::Kind::assistant, prose(500), {}, {}, {}, false};
        ask.turns.insert(ask.turns.end(), {user, calls, results, answer});
    }
    ask.turns.push_back({Ask::Turn::Kind::user, "Go on.", {}, {}, {}, false});
    return ask;
}

std::string large_request(DialectId client) {
    size_t steps = 10;
    std::string body;
    for (int tries = 0; tries < 2; tries++) {
        Ask ask = session(steps);
        if (check_of(client).is_text_only) {
            ask.turns = {{Ask::Turn::Kind::user, prose(kRequestBytes), {}, {}, {}, false}};
        }
        Chance chance(1);
        body = check_of(client).request_of(ask, chance);
        steps = std::max<size_t>(1, steps * kRequestBytes / body.size());
    }
    return body;
}

// Milliseconds of a request; 0: the provider cannot be asked this.
double time_of_request(const Options &options, std::string_view padded, DialectId client,
                       DialectId provider) {
    const Aim &aim = check_of(provider).aims.front();
    Target target;
    target.model = aim.model;
    target.traits = model_traits(provider, aim.model, aim.is_official);
    target.drop_params = true;
    std::string_view body = padded.substr(0, padded.size() - json::kPadding);
    bool is_good = true;
    double seconds = best_time(options, [&] {
        json::Reader reader;
        Result<json::Value> root = reader.parse(body);
        Arena arena;
        ir::Request request;
        ByteBuffer out;
        json::Writer writer(out);
        Notes notes;
        is_good = is_good && root && dialect(client).read_envelope(*root) &&
                  dialect(client).parse_request(*root, arena, request) &&
                  dialect(provider).render_request(request, target, arena, writer, notes);
    });
    return is_good ? seconds * 1e3 : 0;
}

// --- the tables -------------------------------------------------------------------------------

void print_head(const char *title, const std::vector<DialectId> &columns) {
    printf("%s\n%-14s", title, "");
    for (DialectId column : columns) {
        printf("%13s", dialect(column).name.data());
    }
    printf("\n");
}

void print_figure(double figure, double target) {
    if (figure == 0) {
        printf("%12s ", "-");
    } else {
        printf("%12.2f%c", figure, figure > target ? '!' : ' ');
    }
    fflush(stdout);
}

std::vector<DialectId> chosen(std::vector<DialectId> from, std::string_view name) {
    std::erase_if(from, [&](DialectId id) { return !name.empty() && dialect(id).name != name; });
    return from;
}

int run(const Options &options) {
    std::vector<DialectId> providers = chosen(provider_dialects(), options.provider);
    std::vector<DialectId> clients = chosen(client_dialects(), options.client);
    bool is_good = true;

    print_head("us per event of text: provider (row) to client; target 1.00", clients);
    for (DialectId provider : providers) {
        Stream stream = text_stream(provider);
        printf("%-14s", dialect(provider).name.data());
        for (DialectId client : clients) {
            double figure = time_of_event(options, stream, provider, client);
            is_good = is_good && figure > 0;
            print_figure(figure, kEventTarget);
        }
        printf("\n");
    }

    print_head("\nms per request of 1 MB: client (row) to provider; target 5.00", providers);
    for (DialectId client : clients) {
        std::string body = large_request(client);
        body.append(json::kPadding, ' ');
        printf("%-14s", dialect(client).name.data());
        for (DialectId provider : providers) {
            double figure = time_of_request(options, body, client, provider);
            is_good = is_good && figure > 0;
            print_figure(figure, kRequestTarget);
        }
        printf("  (%.2f MB)\n", double(body.size()) / 1e6);
    }
    return is_good ? 0 : 1;
}

}  // namespace

int main(int argc, char **argv) {
    Options options;
    std::vector<std::string_view> names;
    for (int i = 1; i < argc; i++) {
        if (std::string_view(argv[i]) == "--quick") {
            options.rounds = 3;
        } else {
            names.push_back(argv[i]);
        }
    }
    for (std::string_view name : names) {
        if (names.size() > 2 || find_dialect(name) == nullptr) {
            fprintf(stderr, "usage: translate [--quick] [PROVIDER [CLIENT]]\n");
            return 2;
        }
    }
    options.provider = names.empty() ? "" : names[0];
    options.client = names.size() < 2 ? "" : names[1];
    return run(options);
}
