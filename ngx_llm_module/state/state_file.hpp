// What survives a restart (llm_zone state=FILE), on disk:
//
//   FILE            a snapshot of all records, replaced as a whole: written beside it, synced,
//   renamed FILE.journal    what changed since: appended and synced before a change is acknowledged
//   FILE.<section>  counters (budgets, spend), replaced as a whole about once a second
//
// The first two are lines: CRC-32, a blank, a JSON array of records. The journal's last line may be
// torn by a crash: nobody was told of what it says, so it is dropped. A journal that goes on from a
// snapshot says so with an empty array. Any other damage is an error at start, and so is a file
// that is empty or not there and must be, for nothing may come back as if it had never been there.
//
// Workers share the files; the journal's lock (flock) keeps them apart. All of this blocks: it runs
// in a thread (state_keeper.cpp), at start or at exit.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ngx_llm_module/state/record_table.hpp"

namespace llm {

// A file that takes another one's place as a whole, written in pieces: however much there is, and
// whichever of nginx's threads writes, the worker's memory does not grow with it.
class StateWriter {
  public:
    // `buffer` is empty, and keeps its room; the file belongs to whom `journal` belongs to.
    StateWriter(std::string path, int journal, std::string &buffer);
    ~StateWriter();
    StateWriter(const StateWriter &) = delete;
    StateWriter &operator=(const StateWriter &) = delete;

    void append(std::string_view text);
    // What was appended does not count.
    void restart() { begin(head_); }
    // The same, and so much stays free before it, for the head.
    void begin(size_t head);
    // Of what was appended.
    size_t size() const { return size_; }
    uint32_t crc() const { return crc_ ^ 0xffffffff; }
    // Synced, renamed: whoever reads sees the old file or the new one. 0 or the error's number.
    int replace(std::string_view head = {});

  private:
    void flush();
    void write(std::string_view bytes);

    std::string path_;
    std::string &buffer_;
    int fd_;
    int error_ = 0;  // the first one
    size_t head_ = 0;
    size_t size_ = 0;
    uint32_t crc_ = 0xffffffff;
};

// Counters of their owner's own form. The table of all stands in module.cpp.
struct StateSection {
    std::string_view name;  // of the file's ending
    // Another number whenever there is something new to save.
    uint64_t (*generation)(const Config &config);
    // Writes the whole state. Runs in a thread: shared memory may be read, nothing of the worker.
    void (*save)(const Config &config, StateWriter &out);
    // At start, with what save wrote. False: it cannot be understood.
    bool (*load)(const Config &config, std::string_view text);
};

extern const std::span<const StateSection> state_sections;

// Reads everything into a new zone. False: the reason was logged, nginx must not start.
bool load_state(const Config &config, ngx_log_t *log);

// Adds what is appended for these changes.
void render_changes(std::span<const RecordChange> changes, std::string &items);

class StateFile {
  public:
    explicit StateFile(const Config &config);
    ~StateFile();
    StateFile(const StateFile &) = delete;
    StateFile &operator=(const StateFile &) = delete;

    // Each returns 0 or the error's number.
    int open();
    int open_existing();                 // by the master, which may be another user than workers
    int append(std::string_view items);  // as one line; returns when it is on the disk
    int write_snapshot();                // and empties the journal
    int save_section(const StateSection &section);

    // The journal has grown so much that a snapshot is due.
    bool is_snapshot_due() const;

  private:
    int append_locked(std::string_view line);

    int fd_ = -1;        // of the journal
    off_t synced_ = -1;  // its size, when all of it was on the disk
    std::string buffer_;
    const Config &config_;
};

}  // namespace llm
