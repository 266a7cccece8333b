// NCCL between processes of one machine, through shared memory. A sum is done when the call returns, on all ranks with the
// same bits: numbers are added up in the order of the ranks.
#include "engine.h"
#include "memory.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace {

/// Bytes that a rank gives at a time.
constexpr size_t ROOM = size_t(1) << 20;
enum Result { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4 };
enum Type { FLOAT32 = 7, BFLOAT16 = 9 };
constexpr int SUM = 0;

struct Id {
    char text[128];
};

/// What all ranks see: who has come to a barrier, how many barriers there were, and then the numbers of each rank.
struct Shared {
    std::atomic<uint32_t> arrived, rounds;
};

struct Comm {
    int rank, ranks;
    Shared *shared;
    size_t mapped;
    std::string name;

    char *numbers(int rank) { return reinterpret_cast<char *>(shared) + 4096 + size_t(rank) * ROOM; }

    void wait() {
        uint32_t round = shared->rounds;
        if (++shared->arrived == uint32_t(ranks)) {
            shared->arrived = 0;
            ++shared->rounds;
        }
        while (shared->rounds == round) std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
};

float widen(uint16_t number) {
    uint32_t bits = uint32_t(number) << 16;
    float wide;
    return memcpy(&wide, &bits, 4), wide;
}

uint16_t round_to_bf16(float number) {
    uint32_t bits;
    memcpy(&bits, &number, 4);
    if (number != number) return uint16_t(bits >> 16 | 0x40);
    return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

template <typename T, typename Widen, typename Narrow>
void add(Comm &comm, char *to, size_t count, Widen widen, Narrow narrow) {
    for (size_t i = 0; i < count; i++) {
        float sum = 0;
        for (int rank = 0; rank < comm.ranks; rank++) {
            T number;
            memcpy(&number, comm.numbers(rank) + i * sizeof(T), sizeof(T));
            sum += widen(number);
        }
        T narrowed = narrow(sum);
        memcpy(to + i * sizeof(T), &narrowed, sizeof(T));
    }
}

}

extern "C" {

int ncclGetUniqueId(Id *id) {
    memset(id, 0, sizeof *id);
    unsigned long long now = std::chrono::steady_clock::now().time_since_epoch().count();
    snprintf(id->text, sizeof id->text, "/mtl-zoo-nccl-%d-%llx", getpid(), now);
    return SUCCESS;
}

int ncclCommInitRank(Comm **made, int ranks, Id id, int rank) {
    if (ranks < 1 || rank < 0 || rank >= ranks || id.text[0] != '/') return INVALID_ARGUMENT;
    int file = shm_open(id.text, O_CREAT | O_RDWR, 0600);
    size_t mapped = 4096 + size_t(ranks) * ROOM;
    // A file that grows is zero there, whoever comes first.
    if (file < 0 || ftruncate(file, off_t(mapped))) return SYSTEM_ERROR;
    void *shared = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED) return SYSTEM_ERROR;
    Comm *comm = new Comm{rank, ranks, static_cast<Shared *>(shared), mapped, id.text};
    comm->wait();
    if (!rank) shm_unlink(id.text);
    return *made = comm, SUCCESS;
}

int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, Comm *comm, void *) {
    if ((type != FLOAT32 && type != BFLOAT16) || op != SUM) {
        fprintf(stderr, "CUDA emulator: no all-reduce of type %d by %d\n", type, op);
        return INVALID_ARGUMENT;
    }
    size_t size = type == FLOAT32 ? 4 : 2;
    emulator::check(from, count * size, "ncclAllReduce");
    emulator::check(to, count * size, "ncclAllReduce");
    for (size_t done = 0; done < count; done += ROOM / size) {
        size_t now = count - done < ROOM / size ? count - done : ROOM / size;
        memcpy(comm->numbers(comm->rank), static_cast<const char *>(from) + done * size, now * size);
        comm->wait();
        char *out = static_cast<char *>(to) + done * size;
        if (type == FLOAT32)
            add<float>(*comm, out, now, [](float x) { return x; }, [](float x) { return x; });
        else
            add<uint16_t>(*comm, out, now, widen, round_to_bf16);
        comm->wait();
    }
    return SUCCESS;
}

int ncclCommAbort(Comm *comm) {
    munmap(comm->shared, comm->mapped);
    delete comm;
    return SUCCESS;
}

}
